import { deflateSync } from 'node:zlib'
import { Bytes, noise } from './bytes.ts'

export const atEnd = 0xffffffffffffffffn

/** Fields of a VMDK header, in sectors. */
export interface VmdkHeaderRecipe {
  readonly magic?: string
  readonly version?: number
  readonly flags?: number
  readonly capacity?: bigint
  readonly grain?: bigint
  readonly descriptorOffset?: bigint
  readonly descriptorSize?: bigint
  readonly tableEntries?: number
  readonly directory?: bigint
  readonly overhead?: bigint
  readonly compression?: number
}

/** A header sector. */
export function vmdkHeader(recipe: VmdkHeaderRecipe = {}): Uint8Array {
  return new Bytes(512)
    .put(0, recipe.magic ?? 'KDMV')
    .le(4, recipe.version ?? 1, 4)
    .le(8, recipe.flags ?? 1, 4)
    .le(12, recipe.capacity ?? 2048n, 8)
    .le(20, recipe.grain ?? 128n, 8)
    .le(28, recipe.descriptorOffset ?? 1n, 8)
    .le(36, recipe.descriptorSize ?? 20n, 8)
    .le(44, recipe.tableEntries ?? 512, 4)
    .le(56, recipe.directory ?? 21n, 8)
    .le(64, recipe.overhead ?? 128n, 8)
    .put(73, '\n \r\n')
    .le(77, recipe.compression ?? 0, 2)
    .end()
}

/** A descriptor's text. */
export function descriptor(
  createType: string | null = 'monolithicSparse',
  extents: readonly string[] = ['RW 2048 SPARSE "disk.vmdk"'],
  more: readonly string[] = [],
): string {
  return [
    '# Disk DescriptorFile',
    'version=1',
    'CID=01234567',
    'parentCID=ffffffff',
    ...(createType === null ? [] : [`createType="${createType}"`]),
    '',
    '# Extent description',
    ...extents,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "ide"',
    ...more,
    '',
  ].join('\n')
}

/** A monolithicSparse image with one grain. */
export function buildVmdk(text: string = descriptor(), header: VmdkHeaderRecipe = {}): Uint8Array {
  return new Bytes(256 * 512)
    .put(0, vmdkHeader(header))
    .put(512, text)
    .le(21 * 512, 22, 4)
    .le(22 * 512, 128, 4)
    .put(128 * 512, noise(65536))
    .end()
}

/** What may be changed in the end of {@link buildVmwareStream}. */
export interface FooterRecipe {
  readonly header?: VmdkHeaderRecipe
  readonly markerType?: number
  readonly markerSize?: number
  readonly markerPadding?: number
  readonly endType?: number
  readonly endSize?: number
  readonly endPadding?: number
  readonly footerPadding?: number
}

/**
 * A streamOptimized image as VMware's exports are: compressed grains, then grain table and directory behind
 * markers, then the footer, then the end-of-stream marker. The header's directory is "at the end".
 *
 * @see VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents"
 */
export function buildVmwareStream(change: FooterRecipe = {}, text?: string): Uint8Array {
  const common: VmdkHeaderRecipe = { version: 3, flags: 0x30001, compression: 1 }
  const image = new Bytes(128 * 512)
  image.put(512, text ?? descriptor('streamOptimized', ['RW 2048 SPARSE "generated-stream.vmdk"']))
  const table = new Bytes(2048)
  for (const [entry, sector] of [
    [0, 0],
    [3, 384],
  ] as const) {
    const packed = deflateSync(new Bytes(65536).put(0, noise(2000, entry + 1)).end())
    const at = image.length
    table.le(entry * 4, at / 512, 4)
    image
      .le(at, sector, 8)
      .le(at + 8, packed.length, 4)
      .put(at + 12, packed)
    image.fill(image.length, (512 - (image.length % 512)) % 512, 0)
  }
  const marker = (sectors: number, type: number): number => {
    const at = image.length
    image
      .fill(at, 512, 0)
      .le(at, sectors, 8)
      .le(at + 12, type, 4)
    return image.length
  }
  const tables = marker(4, 1)
  image.put(tables, table.end())
  const directory = marker(1, 2)
  image.fill(directory, 512, 0).le(directory, tables / 512, 4)
  const footerMarker = image.length
  image.fill(footerMarker, 512, 0).le(footerMarker, 1, 8)
  image.le(footerMarker + 8, change.markerSize ?? 0, 4).le(footerMarker + 12, change.markerType ?? 3, 4)
  image.le(footerMarker + 16, change.markerPadding ?? 0, 4)
  const footer = { ...common, directory: BigInt(directory / 512), ...change.header }
  image.put(image.length, vmdkHeader(footer))
  image.le(image.length - 8, change.footerPadding ?? 0, 8)
  const last = image.length
  image
    .fill(last, 512, 0)
    .le(last + 8, change.endSize ?? 0, 4)
    .le(last + 12, change.endType ?? 0, 4)
  image.le(last + 16, change.endPadding ?? 0, 4)
  return image.put(0, vmdkHeader({ ...common, directory: atEnd })).end()
}
