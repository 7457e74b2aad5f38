import { isZero } from '@disk-image/io'
import { type CompressKind, createDeflater, type Deflater } from './deflater.ts'

/** Units of a disk that are compressed one behind the other. Plain data, for a worker. */
export interface CompressRequest {
  readonly kind: CompressKind
  /** Shared memory: whole units, the last one maybe shorter. Of the one who asks alone until the reply. */
  readonly input: Uint8Array
  readonly unitBytes: number
  /** Shared memory, with room for all units, what is around them, and the slack of the last one. */
  readonly output: Uint8Array
  /** Left free in front of each unit's stream. */
  readonly leadBytes: number
  /** Behind each stream come zeros up to a multiple of this, counted from the unit's lead. */
  readonly alignBytes: number
  /** Whether a unit whose stream would not be shorter is put there as it is: then its length is a unit's. */
  readonly storesPlain: boolean
  /** Whether a unit of zeros has a stream as any other; then no input at all has one, too. @default false */
  readonly keepsZeros?: boolean
}

/** What became of them. */
export interface CompressReply {
  /** Of each unit's stream; 0 where the unit is zero, which has no place in the output. */
  readonly lengths: Int32Array
}

/** Compresses what encoders of any disks ask for, one request after the other: it blocks its thread. */
export function createCompressHandler(): (request: CompressRequest) => CompressReply {
  const deflaters = new Map<string, Deflater>()
  return ({ kind, input, unitBytes, output, leadBytes, alignBytes, storesPlain, keepsZeros = false }) => {
    const key = JSON.stringify(kind)
    const deflate = deflaters.get(key) ?? createDeflater(kind)
    deflaters.set(key, deflate)
    const lengths = new Int32Array(Math.max(keepsZeros ? 1 : 0, Math.ceil(input.length / unitBytes)))
    let at = 0
    for (let index = 0; index < lengths.length; index += 1) {
      const unit = input.subarray(index * unitBytes, (index + 1) * unitBytes)
      if (!keepsZeros && isZero(unit)) continue
      const start = at + leadBytes
      const room = output.subarray(start, storesPlain ? start + unitBytes : undefined)
      let length = deflate(unit, room)
      if (length === undefined) {
        if (!storesPlain) throw new Error('a stream does not fit where it is compressed to')
        room.set(unit)
        length = unitBytes
      }
      lengths[index] = length
      const end = start + length
      at += Math.ceil((leadBytes + length) / alignBytes) * alignBytes
      output.fill(0, end, at)
    }
    return { lengths }
  }
}
