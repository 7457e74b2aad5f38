import type { RandomAccessReader } from '@disk-image/core'
import { checkInsideFile } from './check-inside-file.ts'
import { bytesPerL2Table, type Qcow2Header } from './header.ts'
import { ClusterInflater, inflateSlackBytes } from './inflate-cluster.ts'
import type { ClusterEntry } from './l2-entry.ts'
import { visitL2Table } from './l2-table.ts'
import { refuse } from './qcow2-decode-error.ts'

/** Bytes of L2 tables that are kept; one table at least. */
const keptTableBytes = 4 * 1024 ** 2
const keptClusters = 2

/** A table's entries, parsed once, in three flat arrays. */
interface Table {
  readonly kinds: Uint8Array
  readonly hostOffsets: Float64Array
  readonly hostLengths: Uint32Array
}

const kinds: readonly ClusterEntry['kind'][] = ['unallocated', 'zero', 'plain', 'compressed']
const noCluster: ClusterEntry = { kind: 'unallocated', hostOffset: 0, hostLength: 0 }

/** Finds and reads guest clusters, with small caches of tables and inflated clusters. */
export class DiskReader {
  readonly header: Qcow2Header
  readonly #file: RandomAccessReader
  readonly #l1: Float64Array
  readonly #tables = new Map<number, Promise<Table>>()
  #inflater: ClusterInflater | undefined
  readonly #inflated = new Map<number, Promise<Uint8Array>>()

  constructor(file: RandomAccessReader, header: Qcow2Header, l1: Float64Array) {
    this.#file = file
    this.header = header
    this.#l1 = l1
  }

  /** What is known of a guest cluster. */
  async find(cluster: number): Promise<ClusterEntry> {
    const perTable = this.header.clusterSize / 8
    const index = Math.floor(cluster / perTable)
    if ((this.#l1[index] ?? 0) === 0) return noCluster
    const table = await this.#table(index)
    const position = cluster % perTable
    return {
      kind: kinds[table.kinds[position] ?? 0] ?? 'unallocated',
      hostOffset: table.hostOffsets[position] ?? 0,
      hostLength: table.hostLengths[position] ?? 0,
    }
  }

  /** The same; a plain cluster with those behind it that continue it in the file, up to `lastCluster`. */
  async findRun(cluster: number, lastCluster: number): Promise<ClusterEntry> {
    const first = await this.find(cluster)
    if (first.kind !== 'plain') return first
    let { hostLength } = first
    for (let next = cluster + 1; next <= lastCluster; next += 1) {
      const entry = await this.find(next)
      if (entry.kind !== 'plain' || entry.hostOffset !== first.hostOffset + hostLength) break
      hostLength += entry.hostLength
    }
    return { ...first, hostLength }
  }

  /** Whether a whole L2 table is missing, so that its clusters need not be asked for one by one. */
  isTableMissing(cluster: number): boolean {
    return (this.#l1[Math.floor(cluster / (this.header.clusterSize / 8))] ?? 0) === 0
  }

  /** Fills `destination`, which is zero, with bytes of one cluster or run, from its byte `start`. */
  async readRun(entry: ClusterEntry, start: number, destination: Uint8Array): Promise<void> {
    if (entry.kind === 'unallocated' || entry.kind === 'zero') return
    const { hostOffset, hostLength } = entry
    const { clusterSize } = this.header
    checkInsideFile(
      { kind: entry.kind, hostOffset, hostLength, guestLength: 0 },
      this.#file.size,
      clusterSize,
    )
    if (entry.kind === 'compressed') {
      const content = await this.#inflate(entry)
      destination.set(content.subarray(start, start + destination.byteLength))
      return
    }
    const readable = Math.max(0, Math.min(destination.byteLength, this.#file.size - hostOffset - start))
    destination.set(await this.#readFully(hostOffset + start, readable))
  }

  #table(index: number): Promise<Table> {
    const known = this.#tables.get(index)
    if (known !== undefined) {
      this.#tables.delete(index)
      this.#tables.set(index, known)
      return known
    }
    const table = this.#readTable(index)
    keep(this.#tables, index, table, Math.max(1, Math.floor(keptTableBytes / this.header.clusterSize)))
    return table
  }

  async #readTable(index: number): Promise<Table> {
    const { header } = this
    const offset = this.#l1[index] ?? 0
    const l1End = header.l1Offset + header.l1Entries * 8
    if (offset + header.clusterSize > this.#file.size) {
      refuse('qcow2-table-outside-file', 'an L2 table lies outside the file', offset)
    }
    if (offset >= header.l1Offset && offset < l1End) {
      refuse('qcow2-cluster-used-twice', 'an L2 table lies in the L1 table', offset)
    }
    const bytes = await this.#readFully(offset, header.clusterSize)
    const entries = header.clusterSize / 8
    const table: Table = {
      kinds: new Uint8Array(entries),
      hostOffsets: new Float64Array(entries),
      hostLengths: new Uint32Array(entries),
    }
    const guestStart = index * bytesPerL2Table(header)
    visitL2Table(bytes, header, index, offset, (guestOffset, first, clusters) => {
      const start = (guestOffset - guestStart) / header.clusterSize
      const { hostOffset, hostLength } = first
      table.kinds.fill(kinds.indexOf(first.kind), start, start + clusters)
      table.hostLengths.fill(hostLength, start, start + clusters)
      for (let behind = 0; behind < clusters; behind += 1) {
        table.hostOffsets[start + behind] = hostOffset + behind * hostLength
      }
    })
    return table
  }

  #inflate(entry: ClusterEntry): Promise<Uint8Array> {
    const known = this.#inflated.get(entry.hostOffset)
    if (known !== undefined) return known
    const content = this.#readAndInflate(entry)
    keep(this.#inflated, entry.hostOffset, content, keptClusters)
    return content
  }

  async #readAndInflate({ hostOffset, hostLength }: ClusterEntry): Promise<Uint8Array> {
    const length = Math.min(hostLength, this.#file.size - hostOffset)
    const input = await this.#readFully(hostOffset, length)
    const { compression, clusterSize } = this.header
    this.#inflater ??= new ClusterInflater(compression, clusterSize)
    const output = new Uint8Array(clusterSize + inflateSlackBytes)
    const inflated = this.#inflater.inflate(input, output)
    if (typeof inflated === 'number') return output.subarray(0, clusterSize)
    return refuse('qcow2-compressed-data', `a compressed cluster ${inflated}`, hostOffset)
  }

  async #readFully(offset: number, length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0)
    const bytes = await this.#file.read(offset, length)
    if (bytes.byteLength !== length) throw new Error('the qcow2 file is shorter than was said')
    return bytes
  }
}

/** Adds a value under way; it is dropped when it fails, and the oldest when there are too many. */
function keep<Value>(
  cache: Map<number, Promise<Value>>,
  key: number,
  value: Promise<Value>,
  count: number,
): void {
  cache.set(key, value)
  value.catch(() => cache.delete(key))
  for (const oldest of cache.keys()) {
    if (cache.size <= count) break
    cache.delete(oldest)
  }
}
