import type { RandomAccessReader } from '@disk-image/core'
import { checkInsideFile } from './check-inside-file.ts'
import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import { ClusterInflater, inflateSlackBytes } from '../stream/inflate-cluster.ts'
import type { ClusterEntry } from './l2-entry.ts'
import { clusterKinds, parseL2Table, type ParsedL2Table } from './parsed-l2-table.ts'
import { refuse } from './qcow2-decode-error.ts'

/** Bytes of L2 tables that are kept; one table at least. */
const keptTableBytes = 4 * 1024 ** 2
const keptClusters = 2

/** What is known of a {@link DiskReader}'s unit. */
export interface UnitEntry extends ClusterEntry {
  /** Byte at which it begins in what is inflated. */
  readonly inflatedStart: number
}

const subclusters = 32
const noUnit: UnitEntry = { kind: 'unallocated', hostOffset: 0, hostLength: 0, inflatedStart: 0 }

/**
 * Finds and reads guest units, which are clusters, or subclusters where the image has them; with small caches of
 * tables and inflated clusters.
 */
export class DiskReader {
  readonly layout: Qcow2Layout
  readonly #file: RandomAccessReader
  readonly #l1: Float64Array
  /** Bytes of a unit. */
  readonly unitBytes: number
  readonly unitsPerTable: number
  readonly #tables = new Map<number, Promise<ParsedL2Table>>()
  #inflater: ClusterInflater | undefined
  readonly #inflated = new Map<number, Promise<Uint8Array>>()

  constructor(file: RandomAccessReader, layout: Qcow2Layout, l1: Float64Array) {
    this.#file = file
    this.layout = layout
    this.#l1 = l1
    this.unitBytes = layout.extendedL2 ? layout.clusterSize / subclusters : layout.clusterSize
    this.unitsPerTable = bytesPerL2Table(layout) / this.unitBytes
  }

  /** What is known of a guest unit. */
  async find(unit: number): Promise<UnitEntry> {
    const index = Math.floor(unit / this.unitsPerTable)
    if ((this.#l1[index] ?? 0) === 0) return noUnit
    const table = await this.#table(index)
    const position = unit % this.unitsPerTable
    return this.layout.extendedL2 ? subclusterOf(table, position, this.unitBytes) : clusterOf(table, position)
  }

  /** The same; a plain unit with those behind it that continue it in the file, up to `lastUnit`. */
  async findRun(unit: number, lastUnit: number): Promise<UnitEntry> {
    const first = await this.find(unit)
    if (first.kind !== 'plain') return first
    let { hostLength } = first
    for (let next = unit + 1; next <= lastUnit; next += 1) {
      const entry = await this.find(next)
      if (entry.kind !== 'plain' || entry.hostOffset !== first.hostOffset + hostLength) break
      hostLength += entry.hostLength
    }
    return { ...first, hostLength }
  }

  /** Whether a whole L2 table is missing, so that its units need not be asked for one by one. */
  isTableMissing(unit: number): boolean {
    return (this.#l1[Math.floor(unit / this.unitsPerTable)] ?? 0) === 0
  }

  /** Fills `destination`, which is zero, with bytes of one unit or run, from its byte `start`. */
  async readRun(entry: UnitEntry, start: number, destination: Uint8Array): Promise<void> {
    if (entry.kind === 'unallocated' || entry.kind === 'zero') return
    const { hostOffset, hostLength } = entry
    checkInsideFile(
      { kind: entry.kind, hostOffset, hostLength, guestLength: 0 },
      this.#file.size,
      this.unitBytes,
    )
    if (entry.kind === 'compressed') {
      const content = await this.#inflate(entry)
      const from = entry.inflatedStart + start
      destination.set(content.subarray(from, from + destination.byteLength))
      return
    }
    const readable = Math.max(0, Math.min(destination.byteLength, this.#file.size - hostOffset - start))
    destination.set(await this.#readFully(hostOffset + start, readable))
  }

  #table(index: number): Promise<ParsedL2Table> {
    const known = this.#tables.get(index)
    if (known !== undefined) {
      this.#tables.delete(index)
      this.#tables.set(index, known)
      return known
    }
    const table = this.#readTable(index)
    keep(this.#tables, index, table, Math.max(1, Math.floor(keptTableBytes / this.layout.clusterSize)))
    return table
  }

  async #readTable(index: number): Promise<ParsedL2Table> {
    const { layout } = this
    const offset = this.#l1[index] ?? 0
    const l1End = Number(layout.l1Offset) + layout.l1Entries * 8
    if (offset + layout.clusterSize > this.#file.size) {
      refuse('qcow2-table-outside-file', 'an L2 table lies outside the file', offset)
    }
    if (offset >= Number(layout.l1Offset) && offset < l1End) {
      refuse('qcow2-cluster-used-twice', 'an L2 table lies in the L1 table', offset)
    }
    const bytes = await this.#readFully(offset, layout.clusterSize)
    return parseL2Table(bytes, layout, index, offset)
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
    const { compression, clusterSize } = this.layout
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

function clusterOf(table: ParsedL2Table, position: number): UnitEntry {
  return {
    kind: clusterKinds[table.kinds[position] ?? 0] ?? 'unallocated',
    hostOffset: table.hostOffsets[position] ?? 0,
    hostLength: table.hostLengths[position] ?? 0,
    inflatedStart: 0,
  }
}

function subclusterOf(table: ParsedL2Table, position: number, unitBytes: number): UnitEntry {
  const cluster = Math.floor(position / subclusters)
  const subcluster = position % subclusters
  const entry = clusterOf(table, cluster)
  const start = subcluster * unitBytes
  if (entry.kind === 'compressed') return { ...entry, inflatedStart: start }
  if ((((table.zeroed[cluster] ?? 0) >>> subcluster) & 1) === 1) return { ...noUnit, kind: 'zero' }
  if ((((table.stored[cluster] ?? 0) >>> subcluster) & 1) === 0) return noUnit
  return { ...entry, hostOffset: entry.hostOffset + start, hostLength: unitBytes }
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
