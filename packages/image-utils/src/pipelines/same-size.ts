import { formatBytes, ImageUnacceptableError } from '@disk-image/core'

/**
 * The second look: what a reader or a tool makes of a disk must be as large as what was judged, up to the end of the
 * sector.
 *
 * @throws {ImageUnacceptableError} rule `virtual-size-differs`
 */
export function checkSameSize(imageId: string, foundBytes: number, judgedBytes: number | undefined): void {
  if (judgedBytes === undefined || toSectors(foundBytes) === toSectors(judgedBytes)) return
  throw new ImageUnacceptableError({
    imageId,
    rule: 'virtual-size-differs',
    reason: 'its disk is read with another size than it was judged with.',
    found: `${foundBytes} bytes (${formatBytes(foundBytes)})`,
    accepted: `${judgedBytes} bytes (${formatBytes(judgedBytes)})`,
  })
}

function toSectors(bytes: number): number {
  return Math.ceil(bytes / 512)
}
