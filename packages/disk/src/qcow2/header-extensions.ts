const end = 0
const backingFormat = 0xe2792aca
const bitmaps = 0x23852875
const encryption = 0x0537be77
const dataFile = 0x44415441

/** Autoclear bit 0: the bitmaps extension is up to date. */
const bitmapsValid = 1n

/**
 * Why the header extensions keep the decoder away, or undefined.
 *
 * qemu reads the directory of valid bitmaps when it opens an image and fails where that is damaged; an image
 * with such bitmaps is left to it.
 *
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function findUnsupportedExtension(
  head: Uint8Array,
  start: number,
  areaEnd: number,
  autoclear: bigint,
): string | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  let offset = start
  while (offset < areaEnd) {
    if (offset + 8 > areaEnd) return 'its header extensions end in the middle of one'
    if (offset + 8 > head.byteLength) return 'its header extensions are longer than the decoder reads'
    const type = view.getUint32(offset)
    const length = view.getUint32(offset + 4)
    offset += 8
    if (length > areaEnd - offset) return 'a header extension reaches beyond the header cluster'
    if (type === end) return undefined
    if (type === encryption) return 'it is encrypted'
    if (type === dataFile) return 'it keeps its data in another file'
    if (type === backingFormat) return 'it names the format of a backing file'
    if (type === bitmaps && (autoclear & bitmapsValid) !== 0n) return 'it holds persistent bitmaps'
    offset += Math.ceil(length / 8) * 8
  }
  return undefined
}
