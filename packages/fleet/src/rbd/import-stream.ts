import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { ProcessRunner } from '@disk-image/core'
import type { RbdName } from '../jobs/volume-name.ts'
import type { DriverCall, VolumeStream } from '../volumes/volume-driver.ts'
import { partialOf } from './rbd-commands.ts'
import type { RbdCommands } from './rbd-commands.ts'

/** Bytes that may wait for rbd. */
const heldBytes = 4 * 1024 * 1024
/** How long rbd may take to end once there is nothing more to take. */
const patienceMs = 5000

/**
 * A new volume, filled through `rbd import -` under another name, and given its own when it is whole.
 *
 * An import that is given up gets the end of its input rather than a signal: Ceph takes a killed client for one that is
 * still there, and removes nothing of its for half a minute.
 */
export function openImport(
  runner: ProcessRunner,
  commands: RbdCommands,
  name: RbdName,
  { signal }: DriverCall,
): VolumeStream {
  const partial = partialOf(name)
  const pipe = new PassThrough({ highWaterMark: heldBytes })
  const ended = new AbortController()
  const stop = new AbortController()
  const running = runner
    .run(commands.import('-', partial), { input: pipe, signal: stop.signal })
    .finally(() => ended.abort())
  // Whoever writes or finishes is told; until then nobody listens.
  running.catch(() => undefined)
  return {
    write: async (chunk) => {
      signal.throwIfAborted()
      if (ended.signal.aborted) await running
      // The chunk is only lent, and the pipe holds on to what it is given.
      if (pipe.write(new Uint8Array(chunk))) return
      await once(pipe, 'drain', { signal: AbortSignal.any([ended.signal, signal]) }).catch(async () => {
        signal.throwIfAborted()
        await running
      })
    },
    finish: async () => {
      pipe.end()
      await running
      await runner.run(commands.rename(partial, name), { signal })
    },
    abandon: async () => {
      pipe.end()
      const timer = setTimeout(() => stop.abort(), patienceMs)
      await running.catch(() => undefined)
      clearTimeout(timer)
      pipe.destroy()
      await runner.run(commands.remove(partial), { timeoutMs: 30_000 }).catch(() => undefined)
    },
  }
}
