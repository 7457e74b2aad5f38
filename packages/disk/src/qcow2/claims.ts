import { refuseQcow2 } from '../errors.ts'

/** Most bytes that the record of used host clusters may take: 32 TiB of file with 64 KiB clusters. */
const maximumClusterMapBytes = 64 * 1024 ** 2
/** Most separate ranges of compressed data that are remembered; neighbours count as one. */
const maximumCompressedRanges = 2 * 1024 ** 2

const pageBytes = 64 * 1024
const clustersPerPage = pageBytes * 4

const compressedUse = 1
const soleUse = 2
const fourSoleUses = 0b10101010

/**
 * Which host clusters are in use, two bits each: by one table or normal cluster alone, or by compressed data,
 * which may share. Pages are made only where something is used, and only so many.
 */
export class HostClusterMap {
  readonly #pages = new Map<number, Uint8Array>()
  readonly #clusterSize: number

  constructor(clusterSize: number) {
    this.#clusterSize = clusterSize
  }

  /** @throws {Qcow2DecodeError} where part of the range is in use already */
  claim(offset: number, length: number): void {
    const clusterSize = this.#clusterSize
    const last = Math.floor((offset + length - 1) / clusterSize)
    for (let cluster = Math.floor(offset / clusterSize); cluster <= last;) {
      const page = this.#page(Math.floor(cluster / clustersPerPage))
      const position = cluster % clustersPerPage
      const index = position >> 2
      const byte = page[index] ?? 0
      // Most are claimed with their neighbours.
      if ((position & 3) === 0 && cluster + 3 <= last && byte === 0) {
        page[index] = fourSoleUses
        cluster += 4
        continue
      }
      const shift = (position & 3) * 2
      if (((byte >> shift) & 3) !== 0) {
        refuseQcow2('qcow2-cluster-used-twice', 'a host cluster is used twice', cluster * clusterSize)
      }
      page[index] = byte | (soleUse << shift)
      cluster += 1
    }
  }

  /** @throws {Qcow2DecodeError} where part of the range belongs to a table or normal cluster */
  claimCompressed(offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / this.#clusterSize)
    for (let cluster = Math.floor(offset / this.#clusterSize); cluster <= last; cluster += 1) {
      const page = this.#page(Math.floor(cluster / clustersPerPage))
      const position = cluster % clustersPerPage
      const index = position >> 2
      const shift = (position & 3) * 2
      const byte = page[index] ?? 0
      if (((byte >> shift) & 3) === soleUse) {
        const place = cluster * this.#clusterSize
        refuseQcow2(
          'qcow2-cluster-used-twice',
          'compressed data lies in a host cluster used otherwise',
          place,
        )
      }
      page[index] = byte | (compressedUse << shift)
    }
  }

  #page(index: number): Uint8Array {
    const known = this.#pages.get(index)
    if (known !== undefined) return known
    if ((this.#pages.size + 1) * pageBytes > maximumClusterMapBytes) {
      refuseQcow2('qcow2-state-limit', 'the file has more host clusters than the decoder keeps track of')
    }
    const page = new Uint8Array(pageBytes)
    this.#pages.set(index, page)
    return page
  }
}

const bucketBytes = 2 ** 20

/**
 * Which bytes compressed clusters were really inflated from. Their neighbours may share a sector, never a byte:
 * otherwise a small file could inflate to any size.
 */
export class CompressedRanges {
  /** Per MiB of the file: starts and ends in turn, ascending, neighbours merged. */
  readonly #buckets = new Map<number, number[]>()
  #count = 0

  /** @throws {Qcow2DecodeError} where a byte of the range was claimed before */
  claim(offset: number, length: number): void {
    const end = offset + length
    for (let start = offset; start < end;) {
      const bucket = Math.floor(start / bucketBytes)
      const stop = Math.min(end, (bucket + 1) * bucketBytes)
      this.#insert(bucket, start, stop)
      start = stop
    }
  }

  #insert(bucket: number, start: number, end: number): void {
    const ranges = this.#buckets.get(bucket)
    if (ranges === undefined) {
      this.#grow()
      this.#buckets.set(bucket, [start, end])
      return
    }
    const position = firstAfter(ranges, start)
    const previousEnd = ranges[position - 1] ?? 0
    const nextStart = ranges[position] ?? Infinity
    // An odd position is inside a range.
    if (position % 2 === 1 || end > nextStart) {
      refuseQcow2('qcow2-cluster-used-twice', 'two compressed clusters share bytes', start)
    }
    const joinsPrevious = position > 0 && previousEnd === start
    const joinsNext = nextStart === end
    if (joinsPrevious && joinsNext) {
      ranges.splice(position - 1, 2)
      this.#count -= 1
    } else if (joinsPrevious) ranges[position - 1] = end
    else if (joinsNext) ranges[position] = start
    else {
      this.#grow()
      ranges.splice(position, 0, start, end)
    }
  }

  #grow(): void {
    this.#count += 1
    if (this.#count > maximumCompressedRanges) {
      refuseQcow2(
        'qcow2-state-limit',
        'its compressed clusters are more scattered than the decoder keeps track of',
      )
    }
  }
}

/** Index of the first bound greater than the value, so that a range's end does not count as inside. */
function firstAfter(bounds: readonly number[], value: number): number {
  let low = 0
  let high = bounds.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((bounds[middle] ?? 0) > value) high = middle
    else low = middle + 1
  }
  return low
}
