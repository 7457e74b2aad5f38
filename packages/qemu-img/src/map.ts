import type { Command } from '@disk-image/core'
import { locate, type QemuImgCallOptions, type QemuImgContext, runQemuImg } from './context.ts'
import {
  checkSize,
  filesOf,
  imageArguments,
  type ImageReference,
  type LocatedImage,
} from './image-reference.ts'
import { FieldReader } from './json-fields.ts'

/** Options of {@link QemuImg.map}. */
export interface MapOptions extends QemuImgCallOptions, Omit<ImageReference, 'path'> {
  readonly startOffset?: number | undefined
  readonly maxLength?: number | undefined
  readonly forceShare?: boolean | undefined
}

/** A stretch of the disk. */
export interface MapExtent {
  /** Byte offset into the disk. */
  readonly start: number
  readonly length: number
  /** How many backing files down it comes from. */
  readonly depth: number
  /** It reads as zeros. */
  readonly zero: boolean
  /** Something is stored for it. */
  readonly data: boolean
  readonly present: boolean
  readonly compressed: boolean
  /** Byte offset into the file, where it lies there as it is. */
  readonly offset: number | undefined
}

const maxOutputBytes = 256 * 1024 * 1024
const mostExtents = 4_000_000

/** The command line of `qemu-img map`. */
export function mapCommand(
  image: LocatedImage,
  options: Omit<MapOptions, keyof ImageReference> = {},
): Command {
  const { objects, asOptions, names } = imageArguments([image])
  const { startOffset, maxLength, forceShare } = options
  if (startOffset !== undefined) checkSize(startOffset, 'startOffset')
  if (maxLength !== undefined) checkSize(maxLength, 'maxLength')
  return {
    file: 'qemu-img',
    args: [
      'map',
      ...objects,
      ...(asOptions ? ['--image-opts'] : ['-f', image.format]),
      '--output=json',
      ...(startOffset === undefined ? [] : [`--start-offset=${startOffset}`]),
      ...(maxLength === undefined ? [] : [`--max-length=${maxLength}`]),
      ...(forceShare === true ? ['-U'] : []),
      ...names,
    ],
  }
}

export async function map(context: QemuImgContext, path: string, options: MapOptions): Promise<MapExtent[]> {
  const image = await locate({ ...options, path })
  const command = mapCommand(image, options)
  const { stdout } = await runQemuImg(context, command, options, {
    files: { read: filesOf([image]) },
    maxOutputBytes,
  })
  return parseMap(stdout)
}

/** @throws {QemuImgOutputError} where it isn't what `qemu-img map --output=json` prints */
export function parseMap(text: string): MapExtent[] {
  const read = new FieldReader('map')
  return read.list(read.parse(text), 'it', mostExtents).map((entry) => {
    const extent = read.object(entry, 'an extent')
    return {
      start: read.size(extent, 'start'),
      length: read.size(extent, 'length'),
      depth: read.size(extent, 'depth'),
      zero: read.flag(extent, 'zero'),
      data: read.flag(extent, 'data'),
      present: read.flag(extent, 'present'),
      compressed: read.flag(extent, 'compressed'),
      offset: read.optionalSize(extent, 'offset'),
    }
  })
}
