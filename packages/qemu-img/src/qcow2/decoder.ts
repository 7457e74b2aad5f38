import type { ProgressListener } from '@disk-image/core'
import { BufferPool } from './buffer-pool.ts'
import { checkRefcounts, checkSnapshots, type TableReader } from './check-tables.ts'
import { CompressedRanges } from './compressed-ranges.ts'
import type { Qcow2DecodeResult, Qcow2Target } from './decode-qcow2.ts'
import { raceSignal, waitForBytes, type Qcow2Frontier } from './frontier.ts'
import { bytesPerL2Table, type Qcow2Header } from './header.ts'
import { HostClusterMap } from './host-cluster-map.ts'
import { parseL1Table } from './l1-table.ts'
import { visitL2Table } from './l2-table.ts'
import { headBytes, runBytes, waitingRuns } from './limits.ts'
import { requireHeader } from './plan-qcow2.ts'
import { refuse } from './qcow2-decode-error.ts'
import { RunBuilder, type ClusterCounts, type Run } from './run.ts'
import { RunTransfer } from './run-transfer.ts'
import type { SourceFile } from './source-file.ts'
import { WaitingRuns } from './waiting-runs.ts'
import { WorkerPool } from './worker-pool.ts'

interface DecoderInit {
  readonly file: SourceFile
  readonly frontier: Qcow2Frontier
  readonly target: Qcow2Target
  readonly workers: number
  readonly maximumVirtualSizeBytes: number | undefined
  readonly onProgress: ProgressListener | undefined
}

/** One decoding: opens tables as they arrive, and starts runs as their bytes arrive. */
export class Qcow2Decoder {
  readonly #init: DecoderInit
  readonly #stop = new AbortController()
  readonly #pool: WorkerPool
  readonly #buffers: BufferPool
  readonly #underWay = new Set<Promise<void>>()
  readonly #waiting = new WaitingRuns()
  readonly #ranges = new CompressedRanges()
  readonly #counts: ClusterCounts = { plain: 0, compressed: 0, zero: 0, unallocated: 0 }
  #bytesWritten = 0
  #completedBytes = 0
  #virtualSizeBytes = 0

  constructor(init: DecoderInit) {
    this.#init = init
    this.#pool = new WorkerPool(init.workers)
    this.#buffers = new BufferPool(Math.max(4, init.workers * 2 + 2), runBytes)
  }

  async run(signal: AbortSignal | undefined): Promise<Qcow2DecodeResult> {
    const onAbort = (): void => this.#stop.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const header = await this.#readHeader()
      await this.#decode(header)
      this.#stop.signal.throwIfAborted()
      return {
        virtualSizeBytes: header.virtualSizeBytes,
        bytesWritten: this.#bytesWritten,
        clusters: { ...this.#counts },
      }
    } catch (error) {
      // The first failure counts: what follows from it is only its echo.
      if (!this.#stop.signal.aborted) this.#stop.abort(error)
      throw this.#stop.signal.reason
    } finally {
      signal?.removeEventListener('abort', onAbort)
      await this.#pool.close()
      await Promise.allSettled(this.#underWay)
    }
  }

  async #readHeader(): Promise<Qcow2Header> {
    const { file, frontier, maximumVirtualSizeBytes } = this.#init
    const available = await waitForBytes(frontier, headBytes, this.#stop.signal)
    const head = new Uint8Array(Math.min(headBytes, available))
    await file.readFully(head, 0)
    return requireHeader(head, { maximumVirtualSizeBytes })
  }

  async #decode(header: Qcow2Header): Promise<void> {
    const map = new HostClusterMap(header.clusterSize)
    const claim = (offset: number, length: number): void => map.claim(offset, length)
    const tables = this.#tableReader()
    claim(0, header.clusterSize)
    const l1Bytes = header.l1Entries * 8
    const l1 = parseL1Table(await tables.read(header.l1Offset, l1Bytes, 'the L1 table'), header)
    if (l1Bytes > 0) claim(header.l1Offset, l1Bytes)

    const order = tablesInFileOrder(l1)
    this.#countUnallocated(header, order)
    const transfer = this.#transfer(header, map)
    let next = 0
    for (;;) {
      this.#stop.signal.throwIfAborted()
      const table = order[next]
      const needsTable =
        table === undefined || this.#waiting.size >= waitingRuns
          ? Infinity
          : (l1[table] ?? 0) + header.clusterSize
      const needsBytes = Math.min(needsTable, this.#waiting.needsBytes)
      if (needsBytes === Infinity) break
      const available = await waitForBytes(this.#init.frontier, needsBytes, this.#stop.signal)
      // Runs go first, so that few of them wait. At the file's end whatever needs least is due, wherever it lies.
      if (this.#waiting.needsBytes <= Math.max(available, needsBytes)) {
        await this.#startNext(transfer, available)
      } else if (table !== undefined) {
        next += 1
        const bytes = await tables.read(l1[table] ?? 0, header.clusterSize, 'an L2 table')
        claim(l1[table] ?? 0, header.clusterSize)
        this.#openTable(header, table, l1[table] ?? 0, bytes)
      }
    }
    await checkSnapshots(header, tables, claim)
    await checkRefcounts(header, tables, claim)
    await this.#settle()
  }

  async #startNext(transfer: RunTransfer, available: number): Promise<void> {
    const run = this.#waiting.pop()
    if (run === undefined) return
    transfer.check(run, available)
    if (run.pieces[0]?.kind === 'kept') {
      this.#report(run.length)
      return
    }
    const buffer = await raceSignal(this.#buffers.acquire(), this.#stop.signal)
    const task = this.#perform(transfer, run, available, buffer).finally(() => this.#underWay.delete(task))
    this.#underWay.add(task)
  }

  /** Never rejects: a failure stops the whole decoding. */
  async #perform(transfer: RunTransfer, run: Run, available: number, buffer: ArrayBuffer): Promise<void> {
    try {
      const writtenBytes = await transfer.perform(run, available, buffer)
      this.#bytesWritten += writtenBytes
      this.#report(run.length)
    } catch (error) {
      this.#stop.abort(error)
    }
  }

  #openTable(header: Qcow2Header, table: number, offset: number, bytes: Uint8Array): void {
    let nothing = 0
    const builder = new RunBuilder({
      virtualSizeBytes: header.virtualSizeBytes,
      clusterSize: header.clusterSize,
      maximumBytes: runBytes,
      emit: (run) => this.#waiting.push(run),
    })
    visitL2Table(bytes, header, table, offset, (guestOffset, entry) => {
      this.#counts[entry.kind] += 1
      builder.add(guestOffset, entry)
      if (entry.hostLength === 0) {
        nothing += Math.min(header.clusterSize, header.virtualSizeBytes - guestOffset)
      }
    })
    builder.finish()
    this.#report(nothing)
  }

  #countUnallocated(header: Qcow2Header, order: Uint32Array): void {
    const perTable = bytesPerL2Table(header)
    let described = 0
    let clusters = 0
    for (const table of order) {
      const bytes = Math.min(perTable, header.virtualSizeBytes - table * perTable)
      described += bytes
      clusters += Math.ceil(bytes / header.clusterSize)
    }
    this.#counts.unallocated = Math.ceil(header.virtualSizeBytes / header.clusterSize) - clusters
    this.#completedBytes = header.virtualSizeBytes - described
    this.#virtualSizeBytes = header.virtualSizeBytes
    this.#report(0)
  }

  #report(bytes: number): void {
    this.#completedBytes += bytes
    this.#init.onProgress?.({
      stage: 'convert',
      completed: this.#completedBytes,
      total: this.#virtualSizeBytes,
      unit: 'bytes',
    })
  }

  #transfer(header: Qcow2Header, map: HostClusterMap): RunTransfer {
    return new RunTransfer({
      header,
      file: this.#init.file,
      target: this.#init.target,
      pool: this.#pool,
      buffers: this.#buffers,
      map,
      ranges: this.#ranges,
      signal: this.#stop.signal,
    })
  }

  #tableReader(): TableReader {
    const { file, frontier } = this.#init
    const requireInside = async (offset: number, length: number, table: string): Promise<void> => {
      const available = await waitForBytes(frontier, offset + length, this.#stop.signal)
      if (available < offset + length) {
        refuse('qcow2-table-outside-file', `${table} lies outside the file`, offset)
      }
    }
    const read = async (offset: number, length: number, table: string): Promise<Uint8Array> => {
      await requireInside(offset, length, table)
      const bytes = new Uint8Array(length)
      await file.readFully(bytes, offset)
      return bytes
    }
    return { read, requireInside }
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#underWay)
    this.#stop.signal.throwIfAborted()
  }
}

function tablesInFileOrder(l1: Float64Array): Uint32Array {
  let count = 0
  for (const offset of l1) if (offset !== 0) count += 1
  const order = new Uint32Array(count)
  let position = 0
  for (let index = 0; index < l1.length; index += 1) {
    if (l1[index] === 0) continue
    order[position] = index
    position += 1
  }
  return order.sort((left, right) => (l1[left] ?? 0) - (l1[right] ?? 0))
}
