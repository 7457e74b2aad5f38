import { type Disk, type EncodedImage, InvalidError, MiB } from '@disk-image/core'
import { blockParts, diskParts, tableParts } from '../encode/block-parts.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { asGuid, identityOf } from '../encode/identity.ts'
import { imageOfParts } from '../encode/image-of-parts.ts'
import { viewOf } from '../layouts/fields.ts'
import { storedDisk } from '../raw/stored-disk.ts'
import { vdiFree, vdiHeaderBytes, vdiSignature } from './vdi-layout.ts'

/** Map and data begin at a whole MiB, as VirtualBox has them. */
const mapOffset = MiB
const blockBytes = MiB
const mostBlocks = 0x3fffffff

/** Lays a disk out as a VDI, `dynamic` or `fixed`: header, map, then the blocks in order. */
export async function encodeVdi(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const { subformat = 'dynamic', vdi: { uniqueId } = {} } = options
  if (subformat !== 'dynamic' && subformat !== 'fixed') {
    throw new InvalidError({ reason: `a VDI is written as dynamic or fixed, not as ${subformat}` })
  }
  const blocks = Math.ceil(disk.size / blockBytes)
  if (blocks < 1 || blocks > mostBlocks) {
    throw new InvalidError({ reason: `a VDI holds 1 byte to 1 PiB, not ${disk.size} bytes` })
  }
  const image = asGuid(identityOf(uniqueId, 'vdi', subformat, disk.size))
  const map = subformat === 'fixed' ? undefined : await DataMap.read(disk, blockBytes, options)
  const mapBytes = Math.ceil((blocks * 4) / MiB) * MiB
  const dataOffset = mapOffset + mapBytes
  const allocated = map?.count ?? blocks
  const head = encodeHeader({
    sizeBytes: disk.size,
    isFixed: map === undefined,
    dataOffset,
    blocks,
    allocated,
    image,
  })
  return imageOfParts({
    format: 'vdi',
    sizeBytes: dataOffset + allocated * blockBytes,
    async *parts(call) {
      yield head
      yield mapOffset - head.length
      yield* tableParts(blocks, 4, (view, at, block) => {
        view.setUint32(at, (map?.has(block) ?? true) ? (map?.rank(block) ?? block) : vdiFree, true)
        return true
      })
      yield mapBytes - blocks * 4
      const stored = storedDisk(disk)
      yield* map === undefined
        ? diskParts(stored, blocks * blockBytes, call)
        : blockParts(stored, { map, blockBytes }, call)
    },
  })
}

interface VdiHeader {
  readonly sizeBytes: number
  readonly isFixed: boolean
  readonly dataOffset: number
  readonly blocks: number
  readonly allocated: number
  readonly image: Uint8Array
}

/** @see https://forums.virtualbox.org/viewtopic.php?t=8046 (tutorial: all about VDIs) */
function encodeHeader({ sizeBytes, isFixed, dataOffset, blocks, allocated, image }: VdiHeader): Uint8Array {
  const bytes = new Uint8Array(vdiHeaderBytes)
  const view = viewOf(bytes)
  bytes.set(Buffer.from('<<< Oracle VM VirtualBox Disk Image >>>\n', 'latin1'))
  const numbers: readonly (readonly [offset: number, value: number])[] = [
    [0x40, vdiSignature],
    [0x44, 0x00010001],
    // Bytes of the header from here on.
    [0x48, 400],
    [0x4c, isFixed ? 2 : 1],
    [0x154, mapOffset],
    [0x158, dataOffset],
    [0x168, 512],
    [0x178, blockBytes],
    [0x180, blocks],
    [0x184, allocated],
  ]
  for (const [offset, value] of numbers) view.setUint32(offset, value, true)
  view.setBigUint64(0x170, BigInt(Math.ceil(sizeBytes / 512) * 512), true)
  bytes.set(image, 0x188)
  return bytes
}
