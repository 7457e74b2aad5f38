import { checkInsideFile } from './check-inside-file.ts'
import type { CompressedRanges } from './compressed-ranges.ts'
import type { Qcow2Target } from './decode-qcow2.ts'
import type { Qcow2Layout } from './layout.ts'
import type { HostClusterMap } from './host-cluster-map.ts'
import { Qcow2DecodeError } from './qcow2-decode-error.ts'
import type { Run } from './run.ts'
import type { SpoolFile } from '../stream/spool-file.ts'
import type { WorkerShare } from '../stream/worker-pool.ts'

interface RunTransferInit {
  readonly layout: Qcow2Layout
  readonly file: SpoolFile
  readonly target: Qcow2Target
  readonly workers: WorkerShare
  readonly map: HostClusterMap
  readonly ranges: CompressedRanges
  readonly signal: AbortSignal
}

/** Brings runs from the file to the target. */
export class RunTransfer {
  readonly #init: RunTransferInit

  constructor(init: RunTransferInit) {
    this.#init = init
  }

  /**
   * Checks and claims a run's place in the file.
   *
   * @param fileBytes what the run needs, or less where the file has ended
   * @throws {Qcow2DecodeError}
   */
  check(run: Run, fileBytes: number): void {
    const { map, layout } = this.#init
    for (const piece of run.pieces) {
      checkInsideFile(piece, fileBytes, layout.clusterSize)
      if (piece.kind === 'compressed') map.claimCompressed(piece.hostOffset, piece.hostLength)
      else map.claim(piece.hostOffset, piece.hostLength)
    }
  }

  /** Reads and writes a checked run, and gives the buffer back. Resolves with the bytes written. */
  async perform(run: Run, fileBytes: number, buffer: Uint8Array): Promise<number> {
    try {
      const first = run.pieces[0]
      if (run.pieces.length === 1 && first?.kind === 'plain') {
        const bytes = buffer.subarray(0, Math.min(run.length, fileBytes - first.hostOffset))
        await this.#init.file.readFully(bytes, first.hostOffset)
        return await this.#write(bytes, run.guestOffset)
      }
      await this.#gather(run, fileBytes, buffer)
      return await this.#write(buffer.subarray(0, run.length), run.guestOffset)
    } finally {
      this.#init.workers.buffers.release(buffer)
    }
  }

  async #write(bytes: Uint8Array, offset: number): Promise<number> {
    this.#init.signal.throwIfAborted()
    await this.#init.target.write(bytes, offset)
    return bytes.byteLength
  }

  async #gather(run: Run, fileBytes: number, output: Uint8Array): Promise<void> {
    const { layout, file, workers, ranges } = this.#init
    const pieces = new Float64Array(run.pieces.length * 4)
    for (const [index, piece] of run.pieces.entries()) {
      const compressed = piece.kind === 'compressed' ? 1 : 0
      pieces.set([compressed, piece.hostOffset, piece.hostLength, piece.guestLength], index * 4)
    }
    const { clusterSize, compression } = layout
    const bounds = Float64Array.of(clusterSize, fileBytes)
    const request = { descriptor: file.descriptor, compression, bounds, pieces, output }
    const reply = await workers.run(request)
    if (reply.kind === 'refused') {
      throw new Qcow2DecodeError({
        rule: 'qcow2-compressed-data',
        reason: reply.reason,
        offset: reply.offset,
      })
    }
    if (reply.kind === 'failed') {
      throw Object.assign(new Error(reply.message), reply.code === undefined ? {} : { code: reply.code })
    }
    for (const [index, piece] of run.pieces.entries()) {
      const consumedBytes = reply.consumedBytes[index] ?? 0
      if (consumedBytes > 0) ranges.claim(piece.hostOffset, consumedBytes)
    }
  }
}
