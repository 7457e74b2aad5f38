import type { Refusal } from '@disk-image/core'
import type { Fields } from '../layouts/fields.ts'
import { printable } from '../layouts/printable.ts'
import { notRead } from './cipher-name.ts'
import type { LuksChecksum } from './luks-layout.ts'

/** Where the metadata begins in each header; what is wrong in it is told with this offset. */
export const textOffset = 4096
/** The format allows 4 MiB; tools write 16 KiB, and what is text in it stays far below this. */
const mostTextBytes = 256 * 1024
const headerSizes = new Set([16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((size) => size * 1024))

/** Bytes of both headers, where the first one says a length that is possible. */
export function luks2HeaderBytes(head: Fields): number | undefined {
  const size = Number(head.u64be(8))
  return headerSizes.has(size) ? 2 * size : undefined
}

/** Why the metadata says nothing more. */
export class Stop extends Error {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal.reason)
    this.refusal = refusal
  }
}

export function malformed(
  reason: string,
  rest: Omit<Refusal, 'rule' | 'reason'> = { offset: textOffset },
): Stop {
  const found = rest.found === undefined ? {} : { found: printable(rest.found) }
  return new Stop({ rule: 'luks-header', reason, ...rest, ...found })
}

/** The metadata of both headers, and what proves that they are whole. */
export function readText(head: Fields, checksums: LuksChecksum[]): string {
  const size = (luks2HeaderBytes(head) ?? 0) / 2
  if (size === 0) {
    const found = `${head.u64be(8)}`
    throw malformed('The header has no possible length', { offset: 8, found, accepted: '16 KiB to 4 MiB' })
  }
  const first = readHeader(head, 0, size, checksums)
  const second = readHeader(head, size, size, checksums)
  // Which of two a tool would believe is not guessed.
  if (first.sequence !== second.sequence || first.text !== second.text) {
    throw malformed('The two headers differ: a change of one was not finished, or it was made to look so', {
      offset: size,
      found: `sequence ${first.sequence} and ${second.sequence}`,
      accepted: 'a container that `cryptsetup repair` has repaired',
    })
  }
  return first.text
}

function readHeader(
  head: Fields,
  offset: number,
  size: number,
  checksums: LuksChecksum[],
): { readonly sequence: bigint; readonly text: string } {
  const fields = head.part(offset, size)
  const magic = offset === 0 ? 'LUKS\u00ba\u00be' : 'SKUL\u00ba\u00be'
  const isWhole = fields.length === size && fields.has(0, magic) && fields.u16be(6) === 2
  if (!isWhole || fields.u64be(8) !== BigInt(size) || fields.u64be(256) !== BigInt(offset)) {
    const accepted = 'a container that `cryptsetup repair` has repaired'
    throw malformed(`The ${offset === 0 ? 'first' : 'second'} header is not whole`, { offset, accepted })
  }
  const hash = fields.text(72, 32)
  if (hash !== 'sha256' && hash !== 'sha512') {
    const reason = "The hash of the header's checksum is not read here"
    throw new Stop(notRead(reason, hash, 'sha256, sha512', offset + 72))
  }
  // A copy in any case: `slice` of a Buffer is a view.
  const bytes = new Uint8Array(fields.bytes)
  const value = bytes.slice(448, hash === 'sha256' ? 480 : 512)
  checksums.push({ hash, bytes: bytes.fill(0, 448, 512), value, offset: offset + 448 })
  const area = bytes.subarray(textOffset)
  const end = area.indexOf(0)
  const length = end < 0 ? area.length : end
  if (length > mostTextBytes) {
    throw malformed('The metadata is longer than any volume needs', {
      offset: offset + textOffset,
      found: `${length} bytes`,
      accepted: `at most ${mostTextBytes}`,
    })
  }
  return { sequence: fields.u64be(16), text: new TextDecoder().decode(area.subarray(0, length)) }
}
