import { readSync } from 'node:fs'
import { allocateBuffer } from '@disk-image/io'
import { ClusterInflater, inflateSlackBytes } from './inflate-cluster.ts'
import { createInflater, type Inflater } from './inflater.ts'

/** One run to be put together in one buffer. Plain data, so that it can be sent to a worker. */
interface ClusterRequest {
  /** Descriptor of the qcow2 file; all threads of a process share it. */
  readonly descriptor: number
  readonly compression: 'zlib' | 'zstd'
  /**
   * Bytes of a cluster; and bytes that the file has so far, behind which plain clusters read as zero. In an array:
   * in code that Maglev (V8 13.6) compiled, fields for large numbers now and then had those of another request.
   */
  readonly bounds: Float64Array
  /** Of each piece: 1 where it is compressed, host offset, host length, guest length. */
  readonly pieces: Float64Array
  /**
   * Shared memory, of the one who asks alone until the reply: room for all guest lengths together and, with a
   * compressed piece, {@link inflateSlackBytes}.
   */
  readonly output: Uint8Array
}

/** What became of a {@link ClusterRequest}. */
type ClusterReply =
  | {
      readonly kind: 'read'
      /** Bytes of the file that each compressed piece was really made from; 0 for plain ones. */
      readonly consumedBytes: Float64Array
    }
  | { readonly kind: 'refused'; readonly reason: string; readonly offset: number }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string | undefined }

const fieldsPerPiece = 4

/** Bytes that are copied or inflated at once. No cluster is larger. */
export const requestBytes: number = 2 * 1024 ** 2

/** Most bytes of compressed clusters that are read at once, unless one is longer. */
const readBytes = 256 * 1024

/** Reads and inflates the pieces of runs, of any disks. */
class ClusterReader {
  readonly #inflaters = new Map<string, ClusterInflater>()
  #input: Uint8Array = new Uint8Array(0)
  /** Where the file's bytes in the input begin, and end. */
  #inputStart = 0
  #inputEnd = 0

  /** Puts a run together. Blocks its thread; never throws. */
  read(request: ClusterRequest): ClusterReply {
    try {
      return this.#readAll(request)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
      return { kind: 'failed', message: error instanceof Error ? error.message : String(error), code }
    }
  }

  #readAll(request: ClusterRequest): ClusterReply {
    const { pieces, descriptor } = request
    const [clusterSize, fileBytes] = boundsOf(request)
    const consumedBytes = new Float64Array(pieces.length / fieldsPerPiece)
    // What was read for another run may have been less than there is now.
    this.#inputEnd = 0
    let position = 0
    for (let index = 0; index < consumedBytes.length; index += 1) {
      const [compressed = 0, hostOffset = 0, hostLength = 0, guestLength = 0] = pieceAt(pieces, index)
      if (compressed === 0) {
        const destination = request.output.subarray(position, position + guestLength)
        const readable = Math.max(0, Math.min(hostLength, fileBytes - hostOffset))
        readFully(descriptor, destination.subarray(0, readable), hostOffset)
        destination.fill(0, readable)
      } else {
        const input = this.#read(request, index)
        const output = request.output.subarray(position, position + clusterSize + inflateSlackBytes)
        const result = this.#inflaterFor(request).inflate(input, output)
        if (typeof result === 'string') {
          return { kind: 'refused', reason: `a compressed cluster ${result}`, offset: hostOffset }
        }
        consumedBytes[index] = result
      }
      position += guestLength
    }
    return { kind: 'read', consumedBytes }
  }

  #inflaterFor(request: ClusterRequest): ClusterInflater {
    const { compression } = request
    const [clusterSize] = boundsOf(request)
    const key = `${compression} ${clusterSize}`
    let inflater = this.#inflaters.get(key)
    if (inflater === undefined) {
      inflater = new ClusterInflater(compression, clusterSize)
      this.#inflaters.set(key, inflater)
    }
    return inflater
  }

  /** The bytes of a compressed piece, together with those of the pieces that go on where it ends. */
  #read(request: ClusterRequest, index: number): Uint8Array {
    const { pieces, descriptor } = request
    const [, fileBytes] = boundsOf(request)
    const [, start = 0, length = 0] = pieceAt(pieces, index)
    const end = Math.max(start, Math.min(start + length, fileBytes))
    if (start < this.#inputStart || end > this.#inputEnd) {
      const to = Math.max(start, Math.min(endOfNeighbours(pieces, index), fileBytes))
      if (this.#input.byteLength < to - start) this.#input = allocateBuffer(to - start)
      this.#inputStart = start
      this.#inputEnd = to
      readFully(descriptor, this.#input.subarray(0, to - start), start)
    }
    return this.#input.subarray(start - this.#inputStart, end - this.#inputStart)
  }
}

function boundsOf({ bounds: [clusterSize = 0, fileBytes = 0] }: ClusterRequest): [number, number] {
  return [clusterSize, fileBytes]
}

function pieceAt(pieces: Float64Array, index: number): Float64Array {
  return pieces.subarray(index * fieldsPerPiece, (index + 1) * fieldsPerPiece)
}

/** The end of a compressed piece in the file, or of those behind it that begin in its last sector or right after it. */
function endOfNeighbours(pieces: Float64Array, index: number): number {
  const [, start = 0, length = 0] = pieceAt(pieces, index)
  let end = start + length
  for (let next = index + 1; next < pieces.length / fieldsPerPiece; next += 1) {
    const [compressed = 0, nextStart = 0, nextLength = 0] = pieceAt(pieces, next)
    const nextEnd = nextStart + nextLength
    if (compressed === 0 || nextStart < end - 512 || nextStart > end) break
    if (nextEnd < end || nextEnd - start > readBytes) break
    end = nextEnd
  }
  return end
}

function readFully(descriptor: number, bytes: Uint8Array, offset: number): void {
  let done = 0
  while (done < bytes.byteLength) {
    const count = readSync(descriptor, bytes, done, bytes.byteLength - done, offset + done)
    if (count === 0) throw Object.assign(new Error('the file became shorter'), { code: 'DISK_CHANGED' })
    done += count
  }
}

/** Compressed grains that lie in memory, to be inflated one behind the other. Plain data, for a worker. */
interface GrainRequest {
  readonly grainBytes: number
  /** Of each grain: where in the input it begins, its length, and the least that it must inflate to. */
  readonly grains: Float64Array
  /** Shared memory, of the one who asks alone until the reply. */
  readonly input: Uint8Array
  /** The same, with room for all grains and {@link inflateSlackBytes}. */
  readonly output: Uint8Array
}

const fieldsPerGrain = 3

/** Inflates grains of any disks. */
class GrainInflater {
  #inflater: Inflater | undefined

  /** Blocks its thread; never throws. Of a refusal `offset` is the number of the grain. */
  inflate({ grainBytes, grains, input, output }: GrainRequest): ClusterReply {
    const inflater = (this.#inflater ??= createInflater('zlib'))
    const count = grains.length / fieldsPerGrain
    for (let index = 0; index < count; index += 1) {
      const [start = 0, length = 0, least = 0] = grains.subarray(index * fieldsPerGrain)
      const room = output.subarray(index * grainBytes, (index + 1) * grainBytes + inflateSlackBytes)
      const result = inflater(input.subarray(start, start + length), room)
      const produced = typeof result === 'string' ? 0 : result.producedBytes
      if (produced < least || produced > grainBytes) {
        return {
          kind: 'refused',
          reason: typeof result === 'string' ? result : `${produced} bytes`,
          offset: index,
        }
      }
    }
    return { kind: 'read', consumedBytes: new Float64Array(0) }
  }
}

/** What a thread does for a decoder. */
export type DecodeRequest = ClusterRequest | GrainRequest

/** What became of it. */
export type DecodeReply = ClusterReply

/** Does what decoders of any disks ask for, one request after the other: it blocks its thread, and never throws. */
export function createTaskHandler(): (request: DecodeRequest) => DecodeReply {
  const clusters = new ClusterReader()
  const grains = new GrainInflater()
  return (request) => ('grains' in request ? grains.inflate(request) : clusters.read(request))
}
