import { type CallOptions, type Disk, type EncodedImage, type Extent, MiB } from '@disk-image/core'
import { encodeDisk, openRaw, type VhdEncodeOptions } from '@disk-image/disk'
import { encodeDynamicVhd, encodeFixedVhd, mapVhdBlocks, type SizedImage } from '@disk-image/disk/vhd'

/** Bytes in order, with their number known before the first. It can be read once per loop. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Exactly so many bytes come: a Content-Length. */
  readonly sizeBytes: number
}

/** Options of {@link streamDynamicVhd}. */
export interface DynamicVhdOptions extends CallOptions, Pick<VhdEncodeOptions, 'style'> {
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** Options of {@link streamFixedVhd}. */
export interface FixedVhdOptions extends CallOptions {
  /** What the disk's size is rounded up to, with zeros. @default 1 MiB, as Azure wants it */
  readonly alignBytes?: number | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** A disk as its bytes. */
export function streamRaw(disk: Disk, options: CallOptions = {}): ByteStream {
  return {
    sizeBytes: disk.size,
    async *[Symbol.asyncIterator]() {
      yield* chunksOf(await encodeDisk(disk, { format: 'raw' }), options)
    },
  }
}

/** A disk as a fixed VHD: its bytes, zeros up to a whole MiB, and a footer. */
export function streamFixedVhd(disk: Disk, options: FixedVhdOptions = {}): ByteStream {
  const image = encodeFixedVhd(disk, {
    ...newIdentity(options.uniqueId),
    alignBytes: options.alignBytes ?? MiB,
  })
  return streamOf(image, options)
}

/**
 * A disk as a dynamic VHD. Where its blocks are is found out first, by reading it once; the bytes are read
 * when they are sent. Blocks of zeros are left out.
 */
export async function streamDynamicVhd(source: Disk, options: DynamicVhdOptions = {}): Promise<ByteStream> {
  const { style, uniqueId, signal } = options
  await using seen = await openRaw(source, { holes: holesOf(source, options), signal })
  const map = await mapVhdBlocks(seen, { signal })
  return streamOf(encodeDynamicVhd(source, map, { style, ...newIdentity(uniqueId) }), options)
}

/** What makes a new disk differ from all others. */
export function newIdentity(uniqueId: string | undefined): { uniqueId: string; createdMs: number } {
  return { uniqueId: uniqueId ?? crypto.randomUUID(), createdMs: Date.now() }
}

async function* holesOf(disk: Disk, { signal }: CallOptions): AsyncGenerator<Extent, void, void> {
  for await (const extent of disk.extents({ signal })) {
    if (extent.kind !== 'data') yield extent
  }
}

function streamOf(image: SizedImage, options: CallOptions): ByteStream {
  return { sizeBytes: image.sizeBytes, [Symbol.asyncIterator]: () => chunksOf(image, options) }
}

/** Chunks that stay as they are: whoever reads ahead may keep some. */
async function* chunksOf(
  image: EncodedImage,
  { signal, onProgress }: CallOptions,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of image.open({ signal, onProgress })) yield chunk.slice()
}
