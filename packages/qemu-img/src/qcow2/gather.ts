import { readSync } from 'node:fs'
import { freeInflated, inflateCluster } from './inflate-cluster.ts'

/** One run to be put together in one buffer. Plain data, so that it can be sent to a worker. */
export interface GatherRequest {
  /** Descriptor of the qcow2 file; all threads of a process share it. */
  readonly descriptor: number
  readonly compression: 'zlib' | 'zstd'
  readonly clusterSize: number
  /** Bytes that the file has so far. Behind them plain clusters read as zero. */
  readonly fileBytes: number
  /** Of each piece: 1 where it is compressed, host offset, host length, guest length. */
  readonly pieces: Float64Array
  /** At least all guest lengths together. */
  readonly output: ArrayBuffer
}

/** What became of a {@link GatherRequest}. */
export type GatherReply =
  | {
      readonly kind: 'gathered'
      readonly output: ArrayBuffer
      /** Bytes of the file that each compressed piece was really made from; 0 for plain ones. */
      readonly consumedBytes: Float64Array
    }
  | { readonly kind: 'refused'; readonly reason: string; readonly offset: number }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string | undefined }

const fieldsPerPiece = 4

/** Reads and inflates a run's pieces. Blocks its thread; never throws. */
export function gather(request: GatherRequest): GatherReply {
  try {
    return gatherPieces(request)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error), code }
  }
}

function gatherPieces(request: GatherRequest): GatherReply {
  const { pieces, descriptor, fileBytes } = request
  const output = new Uint8Array(request.output)
  const consumedBytes = new Float64Array(pieces.length / fieldsPerPiece)
  let input = new Uint8Array(0)
  let position = 0
  for (let index = 0; index < consumedBytes.length; index += 1) {
    const [compressed = 0, hostOffset = 0, hostLength = 0, guestLength = 0] = pieces.subarray(
      index * fieldsPerPiece,
      (index + 1) * fieldsPerPiece,
    )
    const readable = Math.max(0, Math.min(hostLength, fileBytes - hostOffset))
    const destination = output.subarray(position, position + guestLength)
    position += guestLength
    if (compressed === 0) {
      readFully(descriptor, destination.subarray(0, readable), hostOffset)
      destination.fill(0, readable)
      continue
    }
    if (input.byteLength < readable) input = new Uint8Array(readable)
    const bytes = input.subarray(0, readable)
    readFully(descriptor, bytes, hostOffset)
    const inflated = inflateCluster(bytes, request.compression, request.clusterSize)
    if (typeof inflated === 'string') {
      return { kind: 'refused', reason: `a compressed cluster ${inflated}`, offset: hostOffset }
    }
    destination.set(inflated.content)
    freeInflated(inflated.content, request.clusterSize)
    consumedBytes[index] = inflated.consumedBytes
  }
  return { kind: 'gathered', output: request.output, consumedBytes }
}

function readFully(descriptor: number, bytes: Uint8Array, offset: number): void {
  let done = 0
  while (done < bytes.byteLength) {
    const count = readSync(descriptor, bytes, done, bytes.byteLength - done, offset + done)
    if (count === 0) throw new Error('the qcow2 file is shorter than was said')
    done += count
  }
}
