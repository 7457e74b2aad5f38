import type { Attributes, Counter, Histogram, MeterProvider, UpDownCounter } from '@opentelemetry/api'
import type { OperationName } from './telemetry.ts'

/** The name under which spans and metrics are given. */
export const scopeName = '@disk-image/image-utils'

/** Seconds: from a refusal in the first MiB to an image of a TiB. */
const secondBuckets = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200]

/** What is counted; units are UCUM's, as OpenTelemetry has them. */
export interface Instruments {
  readonly active: UpDownCounter
  readonly operationSeconds: Histogram
  readonly stageSeconds: Histogram
  readonly bytes: Counter
  readonly resumes: Counter
}

export function createInstruments(provider: MeterProvider): Instruments {
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
export function operationAttributes(name: OperationName): Attributes {
  return { 'disk_image.operation': name }
}
