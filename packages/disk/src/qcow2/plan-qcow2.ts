import type { Refusal } from '@disk-image/core'
import type { StreamPlan, StreamPlanOptions } from '../stream/stream-decoder.ts'
import { parseQcow2, type Qcow2Layout } from './layout.ts'
import { Qcow2DecodeError } from '../errors.ts'

/**
 * Says from a file's first MiB whether its active disk is read here: version 2 or 3, zlib or zstd, clusters of 512 B to
 * 2 MiB, with or without subclusters, snapshots, bitmaps, and a mark that it was not closed (which tells only of
 * refcounts); no backing or data file, no encryption, no unknown incompatible feature, not corrupt.
 *
 * Tables are not read: {@link decodeQcow2} may still refuse what this supports.
 *
 * @param head the file's first MiB, or all of a shorter one
 */
export function planQcow2(head: Uint8Array, options: StreamPlanOptions = {}): StreamPlan<Qcow2Layout> {
  const layout = parseQcow2(head)
  const refusal = findRefusal(layout, options)
  if (refusal === undefined) return { supported: true, sizeBytes: layout.sizeBytes, layout }
  return { supported: false, reason: refusal.reason }
}

/** @throws {Qcow2DecodeError} for a layout that is not read */
export function requireReadable(
  layout: Qcow2Layout,
  options: StreamPlanOptions & { readonly passphrase?: Uint8Array | undefined } = {},
): void {
  const refusal = findRefusal(layout, options, options.passphrase !== undefined)
  if (refusal !== undefined) throw new Qcow2DecodeError(refusal)
}

/** What is wrong with a layout, or is left to others. */
function findRefusal(
  layout: Qcow2Layout,
  { maximumSizeBytes }: StreamPlanOptions,
  opensLuks = false,
): Refusal | undefined {
  const { sizeBytes } = layout
  // Refcounts may be wrong then; nobody reads a disk by them.
  const problem = layout.problems.find(({ rule }) => rule !== 'qcow2-clean')
  if (problem !== undefined) return problem
  const isOpened = layout.cryptMethod === 2 && opensLuks
  if (layout.cryptMethod !== 0 && !isOpened) return unsupported('it is encrypted')
  if (layout.autoclear & 2n) return unsupported('it claims a raw external data file')
  if (layout.headerLength % 8 !== 0) return unsupported(`its header length is ${layout.headerLength}`)
  if (!layout.extensionsEnd) return unsupported('its header extensions are longer than is read')
  if (!Number.isSafeInteger(sizeBytes)) {
    return unsupported(`its virtual size, ${layout.exactSizeBytes}, is beyond 2^53`)
  }
  const places = [layout.l1Offset, layout.refcountTableOffset, layout.snapshotsOffset]
  if (places.some((place) => place > farthestTable)) return unsupported('a table lies beyond 2^53')
  if (maximumSizeBytes !== undefined && sizeBytes > maximumSizeBytes) {
    return unsupported(`its virtual size is ${sizeBytes} bytes, more than ${maximumSizeBytes}`)
  }
  return undefined
}

/** No table that a layout names reaches beyond 2^53 from here. */
const farthestTable = BigInt(Number.MAX_SAFE_INTEGER - 2 ** 26)

function unsupported(reason: string): Refusal {
  return { rule: 'qcow2-unsupported', reason: `The image is not read here: ${reason}` }
}
