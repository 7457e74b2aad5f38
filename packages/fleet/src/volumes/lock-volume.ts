import { setTimeout as delay } from 'node:timers/promises'
import { tryLock } from '@disk-image/host'
import { VolumeInUseError } from '../errors.ts'
import { endOwner, type Owner } from '../lease/owner.ts'
import type { HeldVolume } from './hold-volume.ts'

/** How a volume is locked. */
export interface LockCall {
  /** Who had it before, and did not give it back. */
  readonly formerOwners: readonly Owner[]
  /** How long one of them that is about to end gets for that. */
  readonly patienceMs: number
  readonly signal: AbortSignal
}

const tryAgainMs = 50

/**
 * Locks a volume for as long as it is written: the hard means behind the lease, for a writer that was stopped before it
 * could look at the clock. A former owner that still has it, and has had time to end, is killed where that is possible;
 * from another machine it can't be, and the volume stays in use until that one is gone.
 *
 * @returns undefined for what can't be locked, as a volume of Ceph
 * @throws {VolumeInUseError}
 */
export async function lockVolume(
  { path, name }: HeldVolume,
  { formerOwners, patienceMs, signal }: LockCall,
): Promise<AsyncDisposable | undefined> {
  if (!path.startsWith('/')) return undefined
  const owners = [...formerOwners]
  let endMs = performance.now() + patienceMs
  for (;;) {
    const attempt = await tryLock(path)
    if (typeof attempt === 'object') return attempt.lock
    if (attempt === 'not-possible') return undefined
    if (performance.now() >= endMs) {
      const owner = owners.pop()
      if (owner === undefined || !(await endOwner(owner, patienceMs))) {
        throw new VolumeInUseError({ volume: name })
      }
      endMs = performance.now() + patienceMs
    }
    await delay(tryAgainMs, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
