import type { RandomAccessReader } from '@disk-image/core'
import { ClusterInflater, inflateSlackBytes } from '../stream/inflate-cluster.ts'
import type { CipherPool } from '../luks/cipher-pool.ts'
import { DiskChangedError, refuseQcow2, Qcow2DecodeError } from '../errors.ts'
import { bytesPerL2Table, type Qcow2Layout } from './layout.ts'
import { type ClusterEntry, lastByteInside, type TableVisitor, visitL2Table } from './tables.ts'
import { unlockContainer } from '../luks/open-luks.ts'
import { LuksRefusal } from '../luks/unlock.ts'

/** Bytes of L2 tables that are kept; one table at least. */
const keptTableBytes = 4 * 1024 ** 2
const keptClusters = 2
/** Guest clusters that are looked at together. */
const sliceClusters = 4096

/**
 * Neighbouring bytes of the disk that are stored alike. A class for the reason in
 * docs/decisions/0013-offsets-in-classes.md.
 */
export class DiskRange {
  readonly kind: ClusterEntry['kind']
  readonly offset: number
  readonly length: number
  /** Where it begins in the file, or where the data begins of which it is a part; 0: it is not stored. */
  readonly hostOffset: number
  /** Bytes of the file that the compressed cluster takes at most. */
  readonly hostLength: number
  /** Byte at which it begins in a compressed cluster. */
  readonly inflatedStart: number

  constructor(
    kind: ClusterEntry['kind'],
    offset: number,
    length: number,
    hostOffset: number,
    hostLength: number,
    inflatedStart: number,
  ) {
    this.kind = kind
    this.offset = offset
    this.length = length
    this.hostOffset = hostOffset
    this.hostLength = hostLength
    this.inflatedStart = inflatedStart
  }
}

/** Finds and reads ranges of the disk, with small caches of tables and inflated clusters. */
export class DiskReader {
  readonly layout: Qcow2Layout
  readonly #file: RandomAccessReader
  readonly #l1: Float64Array
  readonly #cipher: CipherPool | undefined
  readonly #tables = new Map<number, Promise<Uint8Array>>()
  #inflater: ClusterInflater | undefined
  readonly #inflated = new Map<number, Promise<Uint8Array>>()

  /** @param cipher of an encrypted image; it is closed with this */
  constructor(file: RandomAccessReader, layout: Qcow2Layout, l1: Float64Array, cipher?: CipherPool) {
    this.#cipher = cipher
    this.#file = file
    this.layout = layout
    this.#l1 = l1
  }

  /** What is known of a part of the disk, in order and without gaps; some ranges at a time. */
  async *ranges(start: number, end: number): AsyncGenerator<readonly DiskRange[]> {
    const perTable = bytesPerL2Table(this.layout)
    const { clusterSize } = this.layout
    for (let position = start; position < end;) {
      const index = Math.floor(position / perTable)
      const tableEnd = Math.min(end, (index + 1) * perTable)
      if ((this.#l1[index] ?? 0) === 0) {
        yield [new DiskRange('unallocated', position, tableEnd - position, 0, 0, 0)]
        position = tableEnd
        continue
      }
      const first = Math.floor((position - index * perTable) / clusterSize)
      const stop = Math.min(tableEnd, index * perTable + (first + sliceClusters) * clusterSize)
      yield this.#slice(index, await this.#table(index), first, position, stop)
      position = stop
    }
  }

  #slice(index: number, table: Uint8Array, first: number, start: number, end: number): DiskRange[] {
    const ranges: DiskRange[] = []
    const visitor: TableVisitor = {
      clusters: () => undefined,
      range: (kind, offset, length, hostOffset, hostLength) => {
        const from = Math.max(start, offset)
        const to = Math.min(end, offset + length)
        if (to <= from) return
        const skipped = from - offset
        const place = kind === 'normal' ? hostOffset + skipped : hostOffset
        const inflatedStart = kind === 'compressed' ? skipped : 0
        ranges.push(new DiskRange(kind, from, to - from, place, hostLength, inflatedStart))
      },
    }
    visitL2Table(table, this.layout, index, this.#l1[index] ?? 0, visitor, first, sliceClusters)
    return ranges
  }

  /** Fills `destination`, which is zero, with the bytes of a range. */
  async read(range: DiskRange, destination: Uint8Array): Promise<void> {
    const { kind, hostOffset, length } = range
    if (kind === 'unallocated' || kind === 'zero') return
    if (kind === 'compressed') {
      const content = await this.#inflate(range)
      destination.set(content.subarray(range.inflatedStart, range.inflatedStart + length))
      return
    }
    if (this.#cipher !== undefined) {
      await this.#readEncrypted(this.#cipher, hostOffset, destination)
      return
    }
    const readable = Math.max(0, Math.min(length, this.#file.size - hostOffset))
    destination.set(await this.#readFully(hostOffset, readable))
  }

  /** In whole sectors; what is behind the end of the file is zero before it is decrypted, as to qemu. */
  async #readEncrypted(cipher: CipherPool, hostOffset: number, destination: Uint8Array): Promise<void> {
    const start = Math.floor(hostOffset / cipherSectorBytes) * cipherSectorBytes
    const end = Math.ceil((hostOffset + destination.length) / cipherSectorBytes) * cipherSectorBytes
    const sectors = new Uint8Array(end - start)
    sectors.set(await this.#readFully(start, Math.max(0, Math.min(end, this.#file.size) - start)))
    await cipher.run('decrypt', sectors, { first: start / cipherSectorBytes, sectorBytes: cipherSectorBytes })
    destination.set(sectors.subarray(hostOffset - start, hostOffset - start + destination.length))
  }

  async close(): Promise<void> {
    await this.#cipher?.close()
  }

  #table(index: number): Promise<Uint8Array> {
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

  async #readTable(index: number): Promise<Uint8Array> {
    const { layout } = this
    const offset = this.#l1[index] ?? 0
    const l1Offset = Number(layout.l1Offset)
    if (offset + layout.clusterSize > this.#file.size) {
      refuseQcow2('qcow2-table-outside-file', 'an L2 table lies outside the file', offset)
    }
    if (offset >= l1Offset && offset < l1Offset + layout.l1Entries * 8) {
      refuseQcow2('qcow2-cluster-used-twice', 'an L2 table lies in the L1 table', offset)
    }
    const bytes = await this.#readFully(offset, layout.clusterSize)
    // All of its entries must be right, whichever are needed.
    const clusters = (entry: ClusterEntry, count: number): void => {
      if (lastByteInside(entry, count) < this.#file.size) return
      refuseQcow2('qcow2-cluster-outside-file', 'a cluster lies outside the file', entry.hostOffset)
    }
    visitL2Table(bytes, layout, index, offset, { clusters, range: () => undefined })
    return bytes
  }

  #inflate(range: DiskRange): Promise<Uint8Array> {
    const known = this.#inflated.get(range.hostOffset)
    if (known !== undefined) return known
    const content = this.#readAndInflate(range)
    keep(this.#inflated, range.hostOffset, content, keptClusters)
    return content
  }

  async #readAndInflate({ hostOffset, hostLength }: DiskRange): Promise<Uint8Array> {
    const length = Math.min(hostLength, this.#file.size - hostOffset)
    const input = await this.#readFully(hostOffset, length)
    const { compression, clusterSize } = this.layout
    this.#inflater ??= new ClusterInflater(compression, clusterSize)
    const output = new Uint8Array(clusterSize + inflateSlackBytes)
    const inflated = this.#inflater.inflate(input, output)
    if (typeof inflated === 'number') return output.subarray(0, clusterSize)
    return refuseQcow2('qcow2-compressed-data', `a compressed cluster ${inflated}`, hostOffset)
  }

  async #readFully(offset: number, length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0)
    const bytes = await this.#file.read(offset, length)
    if (bytes.byteLength !== length) throw new DiskChangedError('its file became shorter', offset)
    return bytes
  }
}

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

/** What is encrypted is numbered by its place in the file, in sectors of so many bytes. */
const cipherSectorBytes = 512

/**
 * Opens the LUKS header that an encrypted image has among its clusters.
 *
 * @throws {Qcow2DecodeError} `luks-passphrase` where the passphrase opens no key slot, and as a container's header
 */
export async function openCipher(
  reader: RandomAccessReader,
  { luks }: Qcow2Layout,
  passphrase: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<CipherPool> {
  const offset = Number(luks?.offset)
  const size = Number(luks?.length)
  if (!Number.isSafeInteger(offset + size) || offset + size > reader.size) {
    refuseQcow2('qcow2-encryption', 'the LUKS header lies outside the file')
  }
  const header: RandomAccessReader = {
    size,
    read: (start, length, into) =>
      reader.read(offset + start, Math.max(0, Math.min(length, size - start)), into),
  }
  try {
    const { layout, pool } = await unlockContainer(header, { passphrase, signal })
    if (layout.version === 1) return pool
    await pool.close()
    return refuseQcow2('qcow2-encryption', 'the LUKS header is of another version than 1')
  } catch (error) {
    if (!(error instanceof LuksRefusal)) throw error
    const { rule, reason } = error.refusal
    const place = error.refusal.offset === undefined ? undefined : offset + error.refusal.offset
    throw new Qcow2DecodeError({ rule, reason, offset: place })
  }
}
