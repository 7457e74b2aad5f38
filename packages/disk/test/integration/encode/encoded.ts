import { open } from 'node:fs/promises'
import type { EncodedImage } from '@disk-image/core'
import { encodeDisk, type EncodeDiskOptions, openRaw } from '@disk-image/disk'
import { openReader } from '../formats/tools.ts'

/** Parts of a disk. */
type Parts = readonly { readonly offset: number; readonly length: number }[]

/** What is between parts, in order. */
function* between(parts: Parts, sizeBytes: number): Generator<Parts[number], void, void> {
  let end = 0
  for (const { offset, length } of [...parts, { offset: sizeBytes, length: 0 }]) {
    if (offset > end) yield { offset: end, length: offset - end }
    end = Math.max(end, offset + length)
  }
}

/**
 * Encodes a raw file in both ways.
 *
 * @param parts the only ones of the file that are not zero
 * @returns the image, whose disk is closed
 */
export async function encodeFile(
  raw: string,
  parts: Parts,
  options: EncodeDiskOptions,
  files: { readonly streamed: string; readonly written?: string },
): Promise<EncodedImage> {
  await using reader = await openReader(raw)
  await using disk = await openRaw(reader, { holes: between(parts, reader.size) })
  const image = await encodeDisk(disk, options)
  const streamedBytes = await streamTo(image, files.streamed)
  if (image.sizeBytes !== undefined && image.sizeBytes !== streamedBytes) {
    throw new Error(`${streamedBytes} bytes instead of ${image.sizeBytes}`)
  }
  if (files.written !== undefined)
    await writeTo(
      image,
      files.written,
      streamedBytes,
      // Without its footer a fixed VHD is none.
      options.format === 'vpc' && options.subformat === 'fixed',
    )
  return image
}

async function streamTo(image: EncodedImage, path: string): Promise<number> {
  await using file = await open(path, 'w')
  let offset = 0
  for await (const chunk of image.open()) {
    await file.write(chunk, 0, chunk.length, offset)
    offset += chunk.length
  }
  return offset
}

async function writeTo(
  image: EncodedImage,
  path: string,
  bytes: number,
  isToldByEnd: boolean,
): Promise<void> {
  await using file = await open(path, 'w')
  let last = -1
  const written = await image.writeTo({
    write: async (chunk, offset) => {
      if (last === 0 && !isToldByEnd) throw new Error('something is written after the head')
      last = offset
      await file.write(chunk, 0, chunk.length, offset)
    },
    zero: () => Promise.resolve(),
  })
  if (written !== bytes || last !== (isToldByEnd ? bytes - 512 : 0))
    throw new Error(`${written} bytes are written, and ${bytes} sent`)
  await file.truncate(written)
}
