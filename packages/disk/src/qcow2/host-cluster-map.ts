import { maximumClusterMapBytes } from './limits.ts'
import { refuse } from './qcow2-decode-error.ts'

const pageBytes = 64 * 1024
const clustersPerPage = pageBytes * 4

const compressedUse = 1
const soleUse = 2
const fourSoleUses = 0b10101010

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
        refuse('qcow2-cluster-used-twice', 'a host cluster is used twice', cluster * clusterSize)
      }
      page[index] = byte | (soleUse << shift)
      cluster += 1
    }
  }

  /** @throws {Qcow2DecodeError} where part of the range belongs to a table or plain cluster */
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
        refuse('qcow2-cluster-used-twice', 'compressed data lies in a host cluster used otherwise', place)
      }
      page[index] = byte | (compressedUse << shift)
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
