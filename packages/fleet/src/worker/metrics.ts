import type { Meter } from '@opentelemetry/api'
import type { CacheCounts } from '../cache/image-cache.ts'

/**
 * OpenTelemetry's `Meter`. Without one nothing is counted, and `@opentelemetry/api` need not be installed: not for its
 * types either, so what is asked of it is only said in part.
 */
export interface FleetMeter {
  createCounter(name: string): object
  createHistogram(name: string): object
  createObservableGauge(name: string): object
  createObservableCounter(name: string): object
}

/**
 * The meter of the process, where `@opentelemetry/api` is installed. Until somebody sets a provider it counts nothing.
 */
export async function globalMeter(): Promise<FleetMeter | undefined> {
  try {
    const { metrics } = await import('@opentelemetry/api')
    return metrics.getMeter('@disk-image/fleet')
  } catch {
    return undefined
  }
}

/** What is measured of a worker at the moment. */
interface WorkerGauges {
  readonly activeJobs: number
  readonly bytesInFlight: number
  readonly cache: CacheCounts | undefined
}

/** How a run of a job ended. */
export type RunOutcome =
  | 'completed'
  | 'failed'
  | 'retried'
  | 'cancelled'
  | 'postponed'
  | 'given-back'
  | 'lease-lost'

/** Counts what a worker does. Without a meter nothing is counted. */
export interface WorkerMetrics {
  ended(type: string, backend: string, outcome: RunOutcome, seconds: number, bytes: number): void
  takenOver(type: string, backend: string): void
  close(): void
}

/** The instruments, named as Prometheus wants them once its exporter has put its suffixes there. */
export function createMetrics(
  given: FleetMeter | undefined,
  who: Readonly<Record<string, string>>,
  read: () => WorkerGauges,
): WorkerMetrics {
  if (given === undefined) {
    return { ended: () => undefined, takenOver: () => undefined, close: () => undefined }
  }
  const meter = given as Meter
  const runs = meter.createCounter('disk_image.fleet.runs', {
    description: 'Runs of jobs, by how they ended',
  })
  const bytes = meter.createCounter('disk_image.fleet.transferred', {
    description: 'Bytes of images',
    unit: 'By',
  })
  const takeovers = meter.createCounter('disk_image.fleet.takeovers', {
    description: "Jobs taken over from a worker that was gone, or didn't say a word",
  })
  const duration = meter.createHistogram('disk_image.fleet.run.duration', {
    description: 'Seconds of one run of a job',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.1, 1, 5, 15, 60, 300, 900, 3600, 14400] },
  })
  const active = meter.createObservableGauge('disk_image.fleet.active', {
    description: 'Jobs that are run now',
  })
  const inFlight = meter.createObservableGauge('disk_image.fleet.in_flight', {
    description: 'Bytes of images that are in work',
    unit: 'By',
  })
  const cache = meter.createObservableCounter('disk_image.fleet.cache', {
    description: 'What the cache was asked',
  })
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const gauges = read()
    result.observe(active, gauges.activeJobs, who)
    result.observe(inFlight, gauges.bytesInFlight, who)
    for (const outcome of ['hits', 'misses', 'evictions'] as const) {
      if (gauges.cache !== undefined) result.observe(cache, gauges.cache[outcome], { ...who, outcome })
    }
  }
  const observed = [active, inFlight, cache]
  meter.addBatchObservableCallback(observe, observed)
  return {
    ended: (type, backend, outcome, seconds, transferred) => {
      const attributes = { ...who, type, backend }
      runs.add(1, { ...attributes, outcome })
      if (outcome !== 'postponed') duration.record(seconds, attributes)
      if (transferred > 0) bytes.add(transferred, attributes)
    },
    takenOver: (type, backend) => takeovers.add(1, { ...who, type, backend }),
    close: () => meter.removeBatchObservableCallback(observe, observed),
  }
}
