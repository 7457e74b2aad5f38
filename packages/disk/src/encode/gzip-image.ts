import type { CallOptions, EncodedImage } from '@disk-image/core'
import { allocateSharedBuffer, isZero, prepareAhead } from '@disk-image/io'
import { deflateSlackBytes } from './deflater.ts'
import { type EncodeOptions, levelOf } from './encode-options.ts'
import { type EncodeShare, shareEncodeWorkers } from './encode-workers.ts'
import { windowBytes as memberBytes } from './disk-windows.ts'

/**
 * A file as gzip, in members of 1 MiB that are compressed on all threads. Every gzip decoder reads members one after the
 * other as one stream.
 *
 * @param image what is compressed: a file, or one that is made on the way
 * @see https://www.rfc-editor.org/rfc/rfc1952#section-2.2
 */
export function gzipImage(
  image: Pick<EncodedImage, 'format' | 'temporaryBytes' | 'open'>,
  options: Pick<EncodeOptions, 'compressionLevel' | 'workers'> = {},
): EncodedImage {
  const level = levelOf(options)
  const open = async function* (call: CallOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    call.signal?.throwIfAborted()
    const share = shareEncodeWorkers(options.workers)
    try {
      yield* members(image.open(call), share, level, call)
    } finally {
      await share.close()
    }
  }
  return {
    format: image.format,
    sizeBytes: undefined,
    temporaryBytes: image.temporaryBytes,
    open,
    async writeTo(target, call) {
      let head: Uint8Array | undefined
      let offset = 0
      for await (const bytes of open(call)) {
        if (head === undefined) head = bytes.slice()
        else await target.write(bytes, offset)
        offset += bytes.length
      }
      if (head !== undefined) await target.write(head, 0)
      return offset
    },
  }
}

interface Piece {
  readonly input: Uint8Array
  readonly output: Uint8Array
  readonly length: number
}

async function* members(
  chunks: AsyncIterable<Uint8Array>,
  share: EncodeShare,
  level: number,
  { signal }: CallOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const idle: Piece[] = []
  // A disk is mostly zeros, each MiB of which comes to the same.
  let zeros: Promise<Uint8Array> | undefined
  const compress = async ({ input, output, length }: Piece): Promise<Uint8Array> => {
    const { lengths } = await share.run({
      kind: { gzip: true, level },
      input: input.subarray(0, length),
      unitBytes: memberBytes,
      output,
      leadBytes: 0,
      alignBytes: 1,
      storesPlain: false,
      keepsZeros: true,
    })
    return output.subarray(0, lengths[0])
  }
  const pieces = cut(chunks, () => {
    const room = memberBytes + memberBytes / 64 + deflateSlackBytes
    return (
      idle.pop() ?? {
        input: allocateSharedBuffer(memberBytes),
        output: allocateSharedBuffer(room),
        length: 0,
      }
    )
  })
  const prepared = prepareAhead(pieces, share.requestsAhead, async (piece) => {
    if (piece.length < memberBytes || !isZero(piece.input)) return { piece, bytes: await compress(piece) }
    zeros ??= compress(piece).then((bytes) => bytes.slice())
    return { piece, bytes: await zeros }
  })
  for await (const { piece, bytes } of prepared) {
    signal?.throwIfAborted()
    yield bytes
    idle.push(piece)
  }
}

/** Puts the chunks together as pieces of 1 MiB. The last one is shorter, or empty where nothing came at all. */
async function* cut(chunks: AsyncIterable<Uint8Array>, room: () => Piece): AsyncGenerator<Piece, void, void> {
  let piece = room()
  let length = 0
  let isEmpty = true
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + memberBytes - length)
      piece.input.set(part, length)
      length += part.length
      at += part.length
      if (length < memberBytes) continue
      yield { ...piece, length }
      isEmpty = false
      piece = room()
      length = 0
    }
  }
  if (length > 0 || isEmpty) yield { ...piece, length }
}
