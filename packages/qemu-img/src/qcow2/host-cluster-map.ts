import { maximumClusterMapBytes } from './limits.ts'
import { refuse } from './qcow2-decode-error.ts'

const pageBytes = 64 * 1024
const clustersPerPage = pageBytes * 4

const compressedUse = 1
const soleUse = 2

/**
 * Which host clusters are in use, two bits each: by one table or plain cluster alone, or by compressed data,
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
    this.#visit(offset, length, (use, place) => {
      if (use !== 0) refuse('qcow2-cluster-used-twice', 'a host cluster is used twice', place)
      return soleUse
    })
  }

  /** @throws {Qcow2DecodeError} where part of the range belongs to a table or plain cluster */
  claimCompressed(offset: number, length: number): void {
    this.#visit(offset, length, (use, place) => {
      if (use === soleUse) {
        refuse('qcow2-cluster-used-twice', 'compressed data lies in a host cluster used otherwise', place)
      }
      return compressedUse
    })
  }

  #visit(offset: number, length: number, mark: (use: number, place: number) => number): void {
    const last = Math.floor((offset + length - 1) / this.#clusterSize)
    for (let cluster = Math.floor(offset / this.#clusterSize); cluster <= last; cluster += 1) {
      const page = this.#page(Math.floor(cluster / clustersPerPage))
      const position = cluster % clustersPerPage
      const index = position >> 2
      const shift = (position & 3) * 2
      const byte = page[index] ?? 0
      const use = mark((byte >> shift) & 3, cluster * this.#clusterSize)
      page[index] = (byte & ~(3 << shift)) | (use << shift)
    }
  }

  #page(index: number): Uint8Array {
    const known = this.#pages.get(index)
    if (known !== undefined) return known
    if ((this.#pages.size + 1) * pageBytes > maximumClusterMapBytes) {
      refuse('qcow2-state-limit', 'the file has more host clusters than the decoder keeps track of')
    }
    const page = new Uint8Array(pageBytes)
    this.#pages.set(index, page)
    return page
  }
}
