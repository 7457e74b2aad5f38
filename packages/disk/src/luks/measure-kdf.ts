import { availableParallelism } from 'node:os'
import { MiB } from '@disk-image/core'
import type { Argon2, LuksHash } from './luks-layout.ts'
import { luksCrypto } from './node-crypto.ts'
import { hashBytes } from './unlock.ts'

/** How long a measurement takes at least, and how often it is made: the shortest counts, as others have work, too. */
const leastMs = 20
const measurements = 3
/** What our reader derives unasked, with the digest's eighth. */
const mostWork = 160_000_000
const leastMemoryBytes = 32 * MiB
const leastPasses = 4
const mostLanes = 4

/** Iterations of PBKDF2 that take so many milliseconds here, and 1000 at least. */
export async function measurePbkdf2(
  hash: LuksHash,
  keyBytes: number,
  milliseconds: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let tried = 1000
  let perMs = 0
  for (let round = 0; round < measurements;) {
    const elapsed = await timeOf(
      { type: 'pbkdf2', hash, iterations: tried, salt: new Uint8Array(32) },
      keyBytes,
    )
    signal?.throwIfAborted()
    perMs = Math.max(perMs, tried / elapsed)
    if (elapsed >= leastMs) round += 1
    else tried *= elapsed < leastMs / 8 ? 8 : 2
    // What is asked for was measured itself.
    if (elapsed >= 8 * milliseconds) break
  }
  const most = Math.floor(mostWork / Math.ceil(keyBytes / hashBytes[hash]))
  return Math.min(most, Math.max(1000, Math.floor(perMs * milliseconds)))
}

/** Argon2id's parameters for so many milliseconds here: at least four passes, and as much memory as it may have. */
export async function measureArgon2(
  memoryBytes: number = 1024 * MiB,
  milliseconds: number,
  salt: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Argon2> {
  const most = Math.max(
    leastMemoryBytes,
    Math.min(memoryBytes, 1024 * MiB, Math.floor(process.availableMemory() / 2)),
  )
  const lanes = Math.min(mostLanes, availableParallelism())
  const kdf = { type: 'argon2id', passes: leastPasses, memoryBytes: leastMemoryBytes, lanes, salt } as const
  const elapsed = await timeOf(kdf, 32)
  signal?.throwIfAborted()
  const work = (leastMemoryBytes * leastPasses * milliseconds) / elapsed
  const memory = Math.min(most, Math.max(leastMemoryBytes, Math.floor(work / leastPasses / MiB) * MiB))
  const passes = Math.min(64, Math.max(leastPasses, Math.floor(work / memory)))
  return { ...kdf, passes, memoryBytes: Math.floor(memory / 1024) * 1024 }
}

async function timeOf(
  kdf: Parameters<ReturnType<typeof luksCrypto>['derive']>[1],
  keyBytes: number,
): Promise<number> {
  const start = performance.now()
  await luksCrypto().derive(new Uint8Array(16), kdf, keyBytes)
  return Math.max(0.01, performance.now() - start)
}
