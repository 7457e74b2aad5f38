import { JobCancelledError } from '../errors/job-cancelled-error.ts'
import { connectListening, type FleetConnection } from '../redis/connection.ts'
import type { FleetKeys } from '../redis/keys.ts'
import type { WorkerContext } from './worker-context.ts'

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
