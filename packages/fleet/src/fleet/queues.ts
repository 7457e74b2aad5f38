import { Queue, QueueEvents } from 'bullmq'
import type { JobType as EngineState } from 'bullmq'
import type { JobEnvelope, JobResult } from '../jobs/job.ts'
import { engineOptions } from '../redis/connection.ts'
import type { FleetConnection } from '../redis/connection.ts'
import type { FleetKeys } from '../redis/scripts.ts'
import type { EngineJob } from '../worker/process-job.ts'
import { viewOf } from './job-view.ts'
import type { FleetJobState, JobView } from './job-view.ts'

/** The engine's queue of a back end. */
type EngineQueue = Queue<JobEnvelope, JobResult>

const engineStates: Readonly<Record<FleetJobState, readonly EngineState[]>> = {
  waiting: ['wait', 'prioritized'],
  delayed: ['delayed'],
  active: ['active'],
  completed: ['completed'],
  failed: ['failed'],
  cancelled: ['failed'],
}
const allStates = Object.keys(engineStates) as FleetJobState[]

/** The queues of all back ends, and their events, each opened when it is first needed. */
export class Queues {
  readonly #connection: FleetConnection
  readonly #keys: FleetKeys
  readonly #queues = new Map<string, EngineQueue>()
  readonly #events = new Map<string, QueueEvents>()

  constructor(connection: FleetConnection, keys: FleetKeys) {
    this.#connection = connection
    this.#keys = keys
  }

  of(backend: string): EngineQueue {
    const known = this.#queues.get(backend)
    if (known !== undefined) return known
    const queue: EngineQueue = new Queue(this.#keys.queue(backend), this.#options())
    // A connection that comes and goes is told by the calls that need it.
    queue.on('error', () => undefined)
    this.#queues.set(backend, queue)
    return queue
  }

  eventsOf(backend: string): QueueEvents {
    const known = this.#events.get(backend)
    if (known !== undefined) return known
    const events = new QueueEvents(this.#keys.queue(backend), this.#options())
    events.on('error', () => undefined)
    events.setMaxListeners(0)
    this.#events.set(backend, events)
    return events
  }

  async list(
    backend: string,
    states: readonly FleetJobState[] = allStates,
    limit: number,
  ): Promise<JobView[]> {
    const queue = this.of(backend)
    const views: JobView[] = []
    for (const engineState of new Set(states.flatMap((state) => engineStates[state]))) {
      const jobs = (await queue.getJobs([engineState], 0, limit - 1)) as (EngineJob | undefined)[]
      for (const job of jobs) {
        // Between the list and the job it may have been removed; what isn't ours is not shown.
        if (job?.id === undefined || typeof job.data.job !== 'object') continue
        const view = viewOf(job.id, backend, job, engineState)
        if (states.includes(view.state)) views.push(view)
      }
    }
    return views
  }

  async counts(
    backend: string | undefined,
    backends: () => Promise<string[]>,
  ): Promise<Record<Exclude<FleetJobState, 'cancelled'>, number>> {
    const sum = { waiting: 0, delayed: 0, active: 0, completed: 0, failed: 0 }
    for (const name of backend === undefined ? await backends() : [backend]) {
      const counts = await this.of(name).getJobCounts()
      sum.waiting += (counts['waiting'] ?? 0) + (counts['wait'] ?? 0) + (counts['prioritized'] ?? 0)
      for (const state of ['delayed', 'active', 'completed', 'failed'] as const)
        sum[state] += counts[state] ?? 0
    }
    return sum
  }

  async close(): Promise<void> {
    const all = [...this.#queues.values(), ...this.#events.values()]
    await Promise.all(all.map((one) => one.close()))
  }

  #options(): { connection: ReturnType<typeof engineOptions>; prefix: string } {
    return { connection: engineOptions(this.#connection), prefix: this.#keys.prefix }
  }
}
