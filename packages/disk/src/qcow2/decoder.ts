import type { ProgressListener } from '@disk-image/core'
import { checkRefcounts, checkSnapshots, type ClaimHost, type TableReader } from './check-tables.ts'
import { CompressedRanges } from './compressed-ranges.ts'
import type { Qcow2DecodeResult, Qcow2Target } from './decode-qcow2.ts'
import type { ExpectedClusters } from './expected-clusters.ts'
import { raceSignal, waitForBytes, type Qcow2Frontier } from './frontier.ts'
import type { Qcow2Layout } from './layout.ts'
import { HostClusterMap } from './host-cluster-map.ts'
import { parseL1Table } from './l1-table.ts'
import { visitL2Table } from './l2-table.ts'
import { LeastFirst } from './least-first.ts'
import { requestBytes } from '../stream/cluster-reader.ts'
import { waitingRuns } from './limits.ts'
import { RunBuilder, type Run } from './run.ts'
import { RunTransfer } from './run-transfer.ts'
import type { SpoolFile } from '../stream/spool-file.ts'
import { TableOrder } from './table-order.ts'
import { createTableReader } from './table-reader.ts'
import { Tally } from './tally.ts'
import { WorkerPool, type WorkerShare } from '../stream/worker-pool.ts'

interface DecoderInit {
  readonly layout: Qcow2Layout
  readonly file: SpoolFile
  readonly frontier: Qcow2Frontier
  /** What the stream brings past the file; absent where everything is in the file. */
  readonly expected?: ExpectedClusters | undefined
  readonly target: Qcow2Target
  /** Threads of others, or how many of its own. */
  readonly workers: WorkerPool | number
  readonly onProgress: ProgressListener | undefined
}

/** A disk whose L1 table is known. */
interface OpenDisk {
  readonly layout: Qcow2Layout
  readonly l1: Float64Array
  readonly tables: TableOrder
  readonly claim: ClaimHost
}

/** One decoding: opens tables as they arrive, and starts runs as their bytes arrive. */
export class Qcow2Decoder {
  readonly #init: DecoderInit
  readonly #stop = new AbortController()
  /** Its own, which ends with it. */
  readonly #pool: WorkerPool | undefined
  readonly #workers: WorkerShare
  readonly #underWay = new Set<Promise<void>>()
  /** By how much of the file they need. */
  readonly #waiting = new LeastFirst<Run>(({ needsBytes }) => needsBytes)
  readonly #ranges = new CompressedRanges()
  readonly #tally: Tally
  #disk: OpenDisk | undefined
  /** Bytes of the file after which the L1 table can be read. */
  readonly #startsAt: number
  /** Resolves with the next step that is made. */
  #progress = Promise.withResolvers<void>()
  #ended = false

  constructor(init: DecoderInit) {
    this.#init = init
    this.#startsAt = Number(init.layout.l1Offset) + init.layout.l1Entries * 8
    this.#tally = new Tally(init.onProgress)
    const { workers } = init
    const pool = typeof workers === 'number' ? new WorkerPool(workers) : workers
    this.#pool = pool === workers ? undefined : pool
    this.#workers = pool.share()
  }

  async run(signal: AbortSignal | undefined): Promise<Qcow2DecodeResult> {
    const onAbort = (): void => this.#stop.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    // It may have come while the file was being opened.
    if (signal?.aborted === true) onAbort()
    try {
      await this.#decode(this.#init.layout)
      this.#stop.signal.throwIfAborted()
      return this.#tally.result()
    } catch (error) {
      // The first failure counts: what follows from it is only its echo.
      if (!this.#stop.signal.aborted) this.#stop.abort(error)
      throw this.#stop.signal.reason
    } finally {
      this.#ended = true
      this.#progressed()
      signal?.removeEventListener('abort', onAbort)
      // Whoever works for it reads its file, which may be another one's when this is over.
      await Promise.all([this.#pool?.close(), this.#workers.cancel()])
      await Promise.allSettled(this.#underWay)
      this.#workers.buffers.close()
    }
  }

  /** Whether nothing is decoded any more, for whatever reason. */
  get ended(): boolean {
    return this.#ended
  }

  /** Waits until the decoder is not {@link isBehind} any more, or has ended. */
  async catchUp(position: number): Promise<void> {
    while (!this.#ended && this.isBehind(position)) await this.#progress.promise
  }

  /** Throws what stopped the decoding. */
  throwIfStopped(): void {
    this.#stop.signal.throwIfAborted()
  }

  /** Whether a table that lies before a place of the stream is not open yet, although it may be opened. */
  isBehind(position: number): boolean {
    const { layout, tables } = this.#disk ?? {}
    if (layout === undefined || tables === undefined) return position >= this.#startsAt
    return !this.#isFull && tables.nextOffset + layout.clusterSize <= position
  }

  /** Where the next table from a place of the stream on lies. */
  nextTable(position: number): number {
    return this.#disk?.tables.nextFrom(position) ?? Infinity
  }

  /** Opens the table that {@link nextTable} told of, unless too much is waiting already. */
  openTable(offset: number, bytes: Uint8Array): boolean {
    const disk = this.#disk
    if (disk === undefined || this.#isFull) return false
    disk.claim(offset, disk.layout.clusterSize)
    this.#open(disk, disk.tables.openInStream(), offset, bytes)
    return true
  }

  /** Writes bytes of the stream to the disk. Never rejects: a failure stops the whole decoding. */
  writeArrived(bytes: Uint8Array, guestOffset: number): Promise<void> {
    return this.#follow(async () => {
      await this.#init.target.write(bytes, guestOffset)
      this.#tally.wrote(bytes.byteLength, bytes.byteLength)
    })
  }

  /** Stops the decoding with an error. */
  fail(error: unknown): void {
    this.#stop.abort(error)
  }

  /** Where the stream has to be read up to before more can be decided; infinite where that has been done. */
  get startsAt(): number {
    return this.#disk === undefined ? this.#startsAt : Infinity
  }

  get clusterSize(): number {
    return this.#disk?.layout.clusterSize ?? Infinity
  }

  get #isFull(): boolean {
    return this.#waiting.size + (this.#init.expected?.size ?? 0) >= waitingRuns
  }

  #progressed(): void {
    this.#progress.resolve()
    this.#progress = Promise.withResolvers<void>()
  }

  async #decode(layout: Qcow2Layout): Promise<void> {
    const map = new HostClusterMap(layout.clusterSize)
    const claim = (offset: number, length: number): void => map.claim(offset, length)
    const reader = createTableReader(this.#init.file, this.#init.frontier, this.#stop.signal)
    claim(0, layout.clusterSize)
    const l1Bytes = layout.l1Entries * 8
    const l1 = parseL1Table(
      await reader.read(Number(layout.l1Offset), l1Bytes, 'the L1 table', claim),
      layout,
    )

    const tables = new TableOrder(l1)
    this.#tally.begin(layout, tables)
    this.#disk = { layout, l1, tables, claim }
    await this.#decodeTables(this.#disk, reader, this.#transfer(layout, map))
    await checkSnapshots(layout, reader, claim)
    await checkRefcounts(layout, reader, claim)
    await this.#settle()
  }

  async #decodeTables(disk: OpenDisk, reader: TableReader, transfer: RunTransfer): Promise<void> {
    const { layout, tables } = disk
    const { frontier, expected } = this.#init
    for (;;) {
      this.#stop.signal.throwIfAborted()
      this.#progressed()
      const table = tables.nextOffset
      const needsTable = this.#isFull ? Infinity : table + layout.clusterSize
      const needsRun = this.#waiting.first?.needsBytes ?? Infinity
      const needsBytes = Math.min(needsTable, needsRun)
      // What the stream takes to its place makes room for a further table, and is the last to be waited for.
      const arrival = needsTable === Infinity ? (expected?.end ?? Infinity) : Infinity
      if (needsBytes === Infinity && arrival === Infinity) return
      const available = await waitForBytes(frontier, Math.min(needsBytes, arrival), this.#stop.signal)
      if (arrival < needsBytes) {
        if (available < arrival) this.#tally.pass(expected?.giveUp(available, layout.clusterSize) ?? 0)
      } else if (needsRun <= Math.max(available, needsBytes)) {
        // Runs go first, so that few of them wait. At the file's end whatever needs least is due, wherever it lies.
        await this.#startNext(transfer, available)
      } else if (tables.nextOffset === table) {
        const bytes = await reader.read(table, layout.clusterSize, 'an L2 table', disk.claim)
        this.#open(disk, tables.openNext(), table, bytes)
      }
    }
  }

  async #startNext(transfer: RunTransfer, available: number): Promise<void> {
    const run = this.#waiting.pop()
    if (run === undefined) return
    transfer.check(run, available)
    if (run.pieces[0]?.kind === 'kept') {
      this.#tally.pass(run.length)
      return
    }
    const buffer = await raceSignal(this.#workers.buffers.acquire(), this.#stop.signal)
    void this.#follow(async () => {
      const writtenBytes = await transfer.perform(run, available, buffer)
      this.#tally.wrote(writtenBytes, run.length)
    })
  }

  /** Counts a work as under way, so that no decoding ends before it. Never rejects: a failure stops them all. */
  #follow(work: () => Promise<void>): Promise<void> {
    const task = work()
      .catch((error: unknown) => this.#stop.abort(error))
      .finally(() => this.#underWay.delete(task))
    this.#underWay.add(task)
    return task
  }

  #open({ layout, claim }: OpenDisk, table: number, offset: number, bytes: Uint8Array): void {
    let nothing = 0
    const { expected } = this.#init
    const builder = new RunBuilder({
      virtualSizeBytes: layout.sizeBytes,
      clusterSize: layout.clusterSize,
      maximumBytes: requestBytes,
      emit: (run) => {
        for (const behind of expected?.place(run, layout.clusterSize, claim) ?? [run])
          this.#waiting.push(behind)
      },
    })
    visitL2Table(bytes, layout, table, offset, (guestOffset, first, clusters) => {
      this.#tally.count(first.kind, clusters)
      builder.add(guestOffset, first, clusters)
      if (first.hostLength === 0) {
        nothing += Math.min(clusters * layout.clusterSize, layout.sizeBytes - guestOffset)
      }
    })
    builder.finish()
    this.#tally.pass(nothing)
  }

  #transfer(layout: Qcow2Layout, map: HostClusterMap): RunTransfer {
    return new RunTransfer({
      layout,
      file: this.#init.file,
      target: this.#init.target,
      workers: this.#workers,
      map,
      ranges: this.#ranges,
      signal: this.#stop.signal,
    })
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#underWay)
    this.#stop.signal.throwIfAborted()
  }
}
