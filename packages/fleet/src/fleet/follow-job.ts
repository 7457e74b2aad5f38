import { FleetJobNotFoundError } from '../errors.ts'
import { backendOfId } from '../jobs/identity.ts'
import type { JobView } from './job-view.ts'
import type { Queues } from './queues.ts'

/** Milliseconds after which a job is looked at though no event came: the stream of events is of limited length. */
const lookAgainMs = 3000

/**
 * Pictures of a job whenever something happened to it, until it ended. A job that is removed while it is followed,
 * because it was cancelled before it began, ends with a picture that says so.
 */
export async function* followJob(
  queues: Queues,
  id: string,
  find: () => Promise<JobView>,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobView> {
  const backend = backendOfId(id)
  if (backend === undefined) throw new FleetJobNotFoundError(id)
  const events = queues.eventsOf(backend)
  let wake: () => void = () => undefined
  let happened = true
  const note = ({ jobId }: { jobId: string }): void => {
    if (jobId !== id) return
    happened = true
    wake()
  }
  const stop = (): void => wake()
  const names = [
    'active',
    'progress',
    'completed',
    'failed',
    'delayed',
    'waiting',
    'removed',
    'stalled',
  ] as const
  for (const name of names) events.on(name, note)
  signal?.addEventListener('abort', stop)
  let last: JobView | undefined
  try {
    for (;;) {
      signal?.throwIfAborted()
      happened = false
      const view = await find().catch((error: unknown) => {
        if (last === undefined || !(error instanceof FleetJobNotFoundError)) throw error
        return { ...last, state: 'cancelled' as const, endedAt: Date.now() }
      })
      last = view
      yield view
      if (['completed', 'failed', 'cancelled'].includes(view.state)) return
      if (!happened) await sleep((resolve) => (wake = resolve))
    }
  } finally {
    for (const name of names) events.off(name, note)
    signal?.removeEventListener('abort', stop)
  }
}

function sleep(onWake: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, lookAgainMs)
    onWake(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
