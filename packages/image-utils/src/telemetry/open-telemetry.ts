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
} from '@opentelemetry/api'
import type { Progress } from '@disk-image/core'
import { createInstruments, type Instruments, operationAttributes, scopeName } from './instruments.ts'
import { done, type Outcome, outcomeOf } from './outcome.ts'
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
