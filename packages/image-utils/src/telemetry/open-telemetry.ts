import {
  context,
  type Context,
  type MeterProvider,
  metrics,
  type Span,
  SpanStatusCode,
  trace,
  type Tracer,
  type TracerProvider,
  type Attributes,
  type Counter,
  type Histogram,
  type UpDownCounter,
} from '@opentelemetry/api'
import { type Progress, ImageError, ImageUnacceptableError } from '@disk-image/core'
import type { Operation, OperationFacts, OperationName, Telemetry } from './telemetry.ts'

/** Where spans and metrics go. */
export interface OpenTelemetryOptions {
  /** @default the one registered with `@opentelemetry/api` */
  readonly tracerProvider?: TracerProvider | undefined
  /** @default the one registered with `@opentelemetry/api`, which must have happened before */
  readonly meterProvider?: MeterProvider | undefined
}

/**
 * Telemetry by OpenTelemetry: a span for each operation and each of its stages, metrics of time, bytes and
 * resumes. Start the SDK first. No id, path, name or message becomes an attribute.
 */
export function createOpenTelemetry(options: OpenTelemetryOptions = {}): Telemetry {
  const tracer = (options.tracerProvider ?? trace.getTracerProvider()).getTracer(scopeName)
  const instruments = createInstruments(options.meterProvider ?? metrics.getMeterProvider())
  return Object.freeze<Telemetry>({
    operation: async (name, signal, run) => {
      const operation = new ObservedOperation(name, tracer, instruments)
      try {
        const result = await operation.run(run)
        operation.end(done)
        return result
      } catch (error) {
        operation.end(outcomeOf(error, signal))
        throw error
      }
    },
  })
}

class ObservedOperation implements Operation {
  readonly #name: OperationName
  readonly #tracer: Tracer
  readonly #instruments: Instruments
  readonly #span: Span
  readonly #context: Context
  readonly #started = performance.now()
  /** Bytes by stage, as progress has them: all that is known of an operation that fails. */
  readonly #soFar = new Map<Progress['stage'], number>()
  #resumes = 0
  #facts: OperationFacts = {}

  constructor(name: OperationName, tracer: Tracer, instruments: Instruments) {
    this.#name = name
    this.#tracer = tracer
    this.#instruments = instruments
    this.#span = tracer.startSpan(`disk_image.${name}`, { attributes: operationAttributes(name) })
    this.#context = trace.setSpan(context.active(), this.#span)
    instruments.active.add(1, operationAttributes(name))
  }

  run<Result>(run: (operation: Operation) => Promise<Result>): Promise<Result> {
    return context.with(this.#context, () => run(this))
  }

  async stage<Result>(stage: string, run: () => Promise<Result>): Promise<Result> {
    const attributes = { ...operationAttributes(this.#name), 'disk_image.stage': stage }
    const span = this.#tracer.startSpan(`disk_image.${this.#name}.${stage}`, { attributes }, this.#context)
    const started = performance.now()
    try {
      return await context.with(trace.setSpan(this.#context, span), run)
    } catch (error) {
      const { outcome, errorType } = outcomeOf(error, undefined)
      span.setStatus({ code: SpanStatusCode.ERROR })
      span.setAttribute('error.type', errorType ?? outcome)
      throw error
    } finally {
      span.end()
      this.#instruments.stageSeconds.record((performance.now() - started) / 1000, attributes)
    }
  }

  readonly onProgress = (progress: Progress): void => {
    if (progress.unit === 'bytes') this.#soFar.set(progress.stage, progress.completed)
    const resumes = progress.resumes ?? 0
    if (resumes <= this.#resumes) return
    this.#resumes = resumes
    this.#span.addEvent('disk_image.resume', { 'disk_image.io.bytes': progress.completed })
  }

  note(facts: OperationFacts): void {
    this.#facts = { ...this.#facts, ...facts }
  }

  end({ outcome, errorType, rule }: Outcome): void {
    const facts = this.#facts
    const operation = operationAttributes(this.#name)
    const bytes = {
      download: facts.bytesDownloaded ?? this.#soFar.get('download') ?? 0,
      write: facts.bytesWritten ?? 0,
      upload: facts.bytesUploaded ?? this.#soFar.get('upload') ?? 0,
    }
    const resumes = facts.resumes ?? this.#resumes
    this.#span.setAttributes({
      'disk_image.outcome': outcome,
      'disk_image.format': facts.format,
      'disk_image.volume.format': facts.volumeFormat,
      'disk_image.virtual_size': facts.virtualSizeBytes,
      'disk_image.io.downloaded': bytes.download,
      'disk_image.io.written': bytes.write,
      'disk_image.io.uploaded': bytes.upload,
      'disk_image.resumes': resumes,
      'disk_image.signature.verified': facts.signatureVerified,
      'disk_image.refusal.rule': rule,
      'error.type': errorType,
    })
    if (outcome !== 'done') this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end()
    this.#instruments.active.add(-1, operation)
    this.#instruments.operationSeconds.record((performance.now() - this.#started) / 1000, {
      ...operation,
      'disk_image.outcome': outcome,
      ...(errorType === undefined ? {} : { 'error.type': errorType }),
    })
    for (const [direction, count] of Object.entries(bytes)) {
      if (count > 0)
        this.#instruments.bytes.add(count, { ...operation, 'disk_image.io.direction': direction })
    }
    if (resumes > 0) this.#instruments.resumes.add(resumes, operation)
  }
}

/** The name under which spans and metrics are given. */
const scopeName = '@disk-image/image-utils'

/** Seconds: from a refusal in the first MiB to an image of a TiB. */
const secondBuckets = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200]

/** What is counted; units are UCUM's, as OpenTelemetry has them. */
interface Instruments {
  readonly active: UpDownCounter
  readonly operationSeconds: Histogram
  readonly stageSeconds: Histogram
  readonly bytes: Counter
  readonly resumes: Counter
}

function createInstruments(provider: MeterProvider): Instruments {
  const meter = provider.getMeter(scopeName)
  const seconds = { unit: 's', advice: { explicitBucketBoundaries: secondBuckets } }
  return {
    active: meter.createUpDownCounter('disk_image.operation.active', {
      unit: '{operation}',
      description: 'Operations that are running',
    }),
    operationSeconds: meter.createHistogram('disk_image.operation.duration', {
      ...seconds,
      description: 'How long operations took, by outcome',
    }),
    stageSeconds: meter.createHistogram('disk_image.stage.duration', {
      ...seconds,
      description: 'How long each stage of an operation took',
    }),
    bytes: meter.createCounter('disk_image.io', {
      unit: 'By',
      description: 'Bytes downloaded, written and uploaded, those of failed operations too',
    }),
    resumes: meter.createCounter('disk_image.resumes', {
      unit: '{resume}',
      description: 'Broken transfers that were continued',
    }),
  }
}

/** The attribute that every span and metric has. */
function operationAttributes(name: OperationName): Attributes {
  return { 'disk_image.operation': name }
}

/** How an operation ended, in few words: safe to count by. */
interface Outcome {
  readonly outcome: 'done' | 'refused' | 'failed' | 'cancelled'
  /** The error's stable code, or its class. Never its message, which may name an image or a path. */
  readonly errorType?: string | undefined
  /** The rule that refused. */
  readonly rule?: string | undefined
}

const done: Outcome = Object.freeze<Outcome>({ outcome: 'done' })

/** Tells an error of ours, of the system and of the caller's own abort apart. */
export function outcomeOf(error: unknown, signal: AbortSignal | undefined): Outcome {
  if (signal?.aborted === true && error === signal.reason) return { outcome: 'cancelled' }
  if (ImageError.is(error)) {
    const rule = error instanceof ImageUnacceptableError ? error.rule : undefined
    return { outcome: error.kind === 'refused' ? 'refused' : 'failed', errorType: error.code, rule }
  }
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown }
  // Codes of the system are upper-case words; anything else could be text of somebody's own.
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code)) {
    return { outcome: 'failed', errorType: code }
  }
  return {
    outcome: 'failed',
    errorType: typeof name === 'string' && /^\w{1,64}$/.test(name) ? name : '_OTHER',
  }
}
