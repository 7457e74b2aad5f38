import type { CallOptions, EncodedImage } from '@disk-image/core'
import { zeroChunks } from '../raw/stored-disk.ts'

/** Bytes of a file, good until the next are asked for; or a number of zeros. */
export type FilePart = Uint8Array | number

/** An image whose length is known before its first byte. */
export interface SizedImage extends EncodedImage {
  readonly sizeBytes: number
}

/** What an image is that is made from its start to its end. */
export interface ImageParts<Size extends number | undefined> {
  readonly format: string
  readonly sizeBytes: Size
  /** Whether nobody takes the file for an image without its end. @default without its first part */
  readonly isToldByEnd?: boolean
  /** The file in order. */
  parts(options: CallOptions): AsyncIterable<FilePart>
}

/** An image whose file is made in one way, whether it is sent or written. */
export function imageOfParts<Size extends number | undefined>(
  image: ImageParts<Size>,
): EncodedImage & { readonly sizeBytes: Size } {
  const made = async function* (options: CallOptions): AsyncGenerator<FilePart, void, void> {
    options.signal?.throwIfAborted()
    yield* image.parts(options)
    options.signal?.throwIfAborted()
  }
  return {
    format: image.format,
    sizeBytes: image.sizeBytes,
    temporaryBytes: 0,
    async *open(options = {}) {
      for await (const part of made(options)) {
        if (typeof part === 'number') yield* zeroChunks(part)
        else yield part
      }
    },
    async writeTo(target, options = {}) {
      let head: Uint8Array | undefined
      let offset = 0
      let zeros = 0
      const writeZeros = async (): Promise<void> => {
        if (zeros > 0) await target.zero(offset - zeros, zeros)
        zeros = 0
      }
      for await (const part of made(options)) {
        if (typeof part === 'number') {
          zeros += part
          offset += part
          continue
        }
        await writeZeros()
        if (offset === 0 && image.isToldByEnd !== true) head = part.slice()
        else if (part.length > 0) await target.write(part, offset)
        offset += part.length
      }
      await writeZeros()
      if (head !== undefined) await target.write(head, 0)
      return offset
    },
  }
}
