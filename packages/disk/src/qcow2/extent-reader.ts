import type { SpoolFile } from '../stream/spool-file.ts'
import type { WorkerShare } from '../stream/decode-workers.ts'
import type { CompressedRanges } from './claims.ts'
import { DiskChangedError, Qcow2DecodeError } from '../errors.ts'
import type { GuestExtent } from './extents.ts'
import type { Qcow2Layout } from './layout.ts'

/** Reads extents from the file, in this thread or in others. */
export class ExtentReader {
  readonly #layout: Qcow2Layout
  readonly #file: SpoolFile
  readonly #workers: WorkerShare
  readonly #ranges: CompressedRanges

  constructor(layout: Qcow2Layout, file: SpoolFile, workers: WorkerShare, ranges: CompressedRanges) {
    this.#layout = layout
    this.#file = file
    this.#workers = workers
    this.#ranges = ranges
  }

  /**
   * Reads an extent into a buffer.
   *
   * @param fileBytes what it needs, or less where the file has ended
   * @returns its bytes; what is missing of them at their end is zero
   * @throws {Qcow2DecodeError} where compressed data is damaged or used twice
   */
  async read(extent: GuestExtent, fileBytes: number, buffer: Uint8Array): Promise<Uint8Array> {
    const [first] = extent.parts
    if (extent.parts.length === 1 && first?.kind === 'normal') {
      const there = Math.max(0, fileBytes - first.hostOffset)
      const bytes = buffer.subarray(0, Math.min(extent.length, there))
      await this.#file.readFully(bytes, first.hostOffset)
      return bytes
    }
    await this.#gather(extent, fileBytes, buffer)
    return buffer.subarray(0, extent.length)
  }

  async #gather({ parts }: GuestExtent, fileBytes: number, output: Uint8Array): Promise<void> {
    const pieces = new Float64Array(parts.length * 4)
    for (const [index, { kind, hostOffset, hostLength, guestLength }] of parts.entries()) {
      pieces.set([kind === 'compressed' ? 1 : 0, hostOffset, hostLength, guestLength], index * 4)
    }
    const { clusterSize, compression } = this.#layout
    const bounds = Float64Array.of(clusterSize, fileBytes)
    const { descriptor } = this.#file
    const reply = await this.#workers.run({ descriptor, compression, bounds, pieces, output })
    if (reply.kind === 'refused') {
      const { reason, offset } = reply
      throw new Qcow2DecodeError({ rule: 'qcow2-compressed-data', reason, offset })
    }
    if (reply.kind === 'failed') {
      if (reply.code === 'DISK_CHANGED') {
        throw new DiskChangedError('its file became shorter', parts[0]?.hostOffset ?? 0)
      }
      throw Object.assign(new Error(reply.message), reply.code === undefined ? {} : { code: reply.code })
    }
    for (const [index, { hostOffset }] of parts.entries()) {
      const consumedBytes = reply.consumedBytes[index] ?? 0
      if (consumedBytes > 0) this.#ranges.claim(hostOffset, consumedBytes)
    }
  }
}
