import { JobCancelledError } from '../errors.ts'
import { connectListening } from '../redis/connection.ts'
import type { FleetConnection } from '../redis/connection.ts'
import { type FleetKeys, beat, runScript } from '../redis/scripts.ts'
import type { WorkerContext } from './worker-context.ts'

/** A worker, as it describes itself. */
export interface WorkerView {
  readonly name: string
  readonly host: string
  readonly backends: readonly string[]
  readonly activeJobs: readonly string[]
  /** When it began, in milliseconds since 1970. */
  readonly startedAt: number
}

/** Says that a worker is there, at once and again until it is stopped. */
export function startHeartbeat(
  worker: WorkerContext,
  leaseMs: number,
): { readonly begun: Promise<void>; stop(): Promise<void> } {
  const { redis, keys, name, host } = worker
  const backends = Object.keys(worker.backends)
  const startedAt = Date.now()
  const say = async (): Promise<void> => {
    const view: WorkerView = { name, host, backends, activeJobs: [...worker.running.keys()], startedAt }
    await runScript(
      redis,
      beat,
      [keys.workers(), ...backends.map((backend) => keys.hosts(backend))],
      [name, JSON.stringify(view), leaseMs * 2, host],
    )
  }
  const timer = setInterval(() => void say().catch(() => undefined), leaseMs / 3)
  const begin = async (): Promise<void> => {
    await redis.sadd(keys.backends(), ...backends)
    await say()
  }
  return {
    begun: begin(),
    stop: async () => {
      clearInterval(timer)
      await redis.hdel(keys.workers(), name).catch(() => undefined)
    },
  }
}

/** Ends a running job when it is cancelled. A message that is missed is made good by the lease's next renewal. */
export function listenForCancellation(
  connection: FleetConnection,
  keys: FleetKeys,
  running: WorkerContext['running'],
): { disconnect(): void } {
  const subscriber = connectListening(connection)
  subscriber.on('message', (_channel: string, jobId: string) => {
    running.get(jobId)?.controller.abort(new JobCancelledError())
  })
  void subscriber.subscribe(keys.cancelChannel()).catch(() => undefined)
  return subscriber
}
