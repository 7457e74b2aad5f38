import type { RandomAccessReader } from '@disk-image/core'
import { Fields } from '@disk-image/disk/layouts'
import { readFully } from '../read-fully.ts'
import { digest } from './key-derivation.ts'
import { LuksProblem, malformed } from './problem.ts'

const binaryBytes = 4096
/** The format allows 4 MiB; tools write 16 KiB, and what is text in it stays far below this. */
const mostTextBytes = 256 * 1024
const sizes: ReadonlySet<number> = new Set(
  [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((size) => size * 1024),
)

/** The metadata of a version 2 header, as its JSON has it: not checked yet. */
export interface Luks2Metadata {
  readonly json: unknown
  /** Both headers together; nothing else lies before their end. */
  readonly headerBytes: number
}

/**
 * Reads both headers. They must be whole and say the same, as after every finished change: which of two a
 * tool would believe is not guessed.
 *
 * @throws {LuksProblem} for what is damaged, made up or not supported
 * @see https://gitlab.com/cryptsetup/LUKS2-docs
 */
export async function readLuks2Metadata(
  reader: RandomAccessReader,
  head: Fields,
  signal: AbortSignal | undefined,
): Promise<Luks2Metadata> {
  const size = Number(head.u64be(8))
  if (!sizes.has(size)) {
    throw malformed('The header has no possible length', {
      offset: 8,
      found: `${size}`,
      accepted: '16 KiB to 4 MiB',
    })
  }
  const first = await readHeader(reader, 0, size, signal)
  const second = await readHeader(reader, size, size, signal)
  if (first.sequence !== second.sequence || first.text !== second.text) {
    throw malformed('The two headers differ: a change of one was not finished, or it was made to look so', {
      offset: size,
      found: `sequence ${first.sequence} and ${second.sequence}`,
    })
  }
  try {
    return { json: JSON.parse(first.text), headerBytes: 2 * size }
  } catch {
    throw malformed('The metadata is no JSON', { offset: binaryBytes })
  }
}

async function readHeader(
  reader: RandomAccessReader,
  offset: number,
  size: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly sequence: bigint; readonly text: string }> {
  const bytes = new Uint8Array(await readFully(reader, offset, size, signal))
  const fields = new Fields(bytes)
  const magic = offset === 0 ? 'LUKS\u00ba\u00be' : 'SKUL\u00ba\u00be'
  const whole = bytes.length === size && fields.has(0, magic) && fields.u16be(6) === 2
  if (!whole || fields.u64be(8) !== BigInt(size) || fields.u64be(256) !== BigInt(offset)) {
    throw malformed(`The ${offset === 0 ? 'first' : 'second'} header is not whole`, { offset })
  }
  const hash = fields.text(72, 32)
  if (hash !== 'sha256' && hash !== 'sha512') {
    throw new LuksProblem('unsupported', {
      reason: "The hash of the header's checksum is not supported here",
      offset: offset + 72,
      found: hash,
      accepted: 'sha256, sha512',
    })
  }
  const stored = bytes.slice(448, 512)
  bytes.fill(0, 448, 512)
  const sum = await digest(hash, bytes)
  signal?.throwIfAborted()
  if (sum.some((byte, index) => byte !== stored[index])) {
    throw malformed('The checksum of the header is wrong', { offset: offset + 448 })
  }
  const area = bytes.subarray(binaryBytes)
  const end = area.indexOf(0)
  const length = end < 0 ? area.length : end
  if (length > mostTextBytes) {
    throw malformed('The metadata is longer than any volume needs', {
      offset: offset + binaryBytes,
      found: `${length} bytes`,
      accepted: `at most ${mostTextBytes}`,
    })
  }
  return { sequence: fields.u64be(16), text: new TextDecoder().decode(area.subarray(0, length)) }
}
