import { createHash } from 'node:crypto'
import type { ByteSink } from '@disk-image/core'

/** A sink that keeps all and says the hash. */
export function keeper(): ByteSink & { bytes(): Buffer; readonly sizeBytes: number } {
  const parts: Buffer[] = []
  return {
    write: (chunk) => void parts.push(Buffer.from(chunk)),
    bytes: () => Buffer.concat(parts),
    get sizeBytes() {
      return parts.reduce((sum, part) => sum + part.length, 0)
    },
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** What a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const outcome = await promise.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  )
  return outcome as Error & Record<string, unknown>
}

/** A generator that is the same each time, from 0 to below 1. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
