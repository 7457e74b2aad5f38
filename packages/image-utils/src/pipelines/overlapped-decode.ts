import type { OverlappedSink } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { openVolume, type Volume, writeSparsely } from '@disk-image/host'
import { decodeQcow2Stream, planQcow2, qcow2PlanBytes, type Qcow2Stream } from '@disk-image/disk/qcow2'
import { readHead } from '../sources/file-chunks.ts'
import type { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import type { Job } from './job.ts'
import { checkQemuImg } from './needs-qemu-img.ts'
import { checkSameSize } from './same-size.ts'
import { rateLimiterOf, volumeOptions } from './write-volume.ts'
import type { FileTarget, InFile, Streamed } from './receive.ts'

/** An image that the decoder takes, on its way onto the volume. */
interface Decoding {
  readonly stream: Qcow2Stream
  readonly volume: Volume
  /** Bytes of data written so far. */
  written: number
}

/**
 * qcow2 onto a raw volume while it downloads: clusters go straight to their places, and through the temporary file
 * only what has to wait for a table. An image that the decoder doesn't fully understand is left in the file, for
 * qemu-img. Where it does, no tool reads the image, so none is asked what it makes of it.
 */
export class OverlappedDecode {
  readonly #toolbox: Toolbox
  readonly #job: Job
  readonly #file: FileTarget
  readonly #cleanup: Cleanup
  readonly #judged: InspectionResult
  #received = 0
  #isPlanned = false
  #decoding: Decoding | undefined
  /** Settles when everything that was written so far has been begun. */
  #begun: Promise<unknown> = Promise.resolve()

  private constructor(
    toolbox: Toolbox,
    job: Job,
    cleanup: Cleanup,
    file: FileTarget,
    judged: InspectionResult,
  ) {
    this.#judged = judged
    this.#toolbox = toolbox
    this.#job = job
    this.#file = file
    this.#cleanup = cleanup
  }

  static begin(
    toolbox: Toolbox,
    job: Job,
    cleanup: Cleanup,
    file: FileTarget,
    judged: InspectionResult,
  ): { sink: OverlappedSink; finish(inspection: InspectionResult): Promise<Streamed | InFile> } {
    const decode = new OverlappedDecode(toolbox, job, cleanup, file, judged)
    return {
      sink: {
        write: (chunk) => decode.#write(chunk, decode.#received),
        writeAt: (chunk, offset) => decode.#write(chunk, offset),
      },
      finish: (inspection) => decode.#finish(inspection),
    }
  }

  #write(chunk: Uint8Array, offset: number): Promise<void> {
    const begun = this.#begun.then(() => this.#beginWrite(chunk, offset))
    this.#begun = begun.catch(() => undefined)
    return begun.then(({ done }) => done)
  }

  async #beginWrite(chunk: Uint8Array, offset: number): Promise<{ readonly done: Promise<void> }> {
    if (this.#decoding !== undefined) return { done: this.#decoding.stream.write(chunk) }
    const isHead = offset === 0 && chunk.length >= qcow2PlanBytes
    const written = this.#file.sink.writeAt(chunk, offset)
    this.#received = offset + chunk.length
    if (isHead) {
      // It need not be read back, nor waited for, before what it tells of is opened. Where it can't be written
      // that is told only then: what is just being opened must be known to the cleanup.
      written.catch(() => undefined)
      await this.#plan(written, chunk.subarray(0, qcow2PlanBytes))
    }
    await written
    if (this.#received >= qcow2PlanBytes) await this.#plan(written)
    return { done: Promise.resolve() }
  }

  /**
   * Begins to decode, if the decoder takes what the head tells of.
   *
   * @param written settles when what was received is in the file
   */
  async #plan(written: Promise<void>, head?: Uint8Array): Promise<void> {
    if (this.#isPlanned) return
    this.#isPlanned = true
    const plan = await planQcow2(head ?? (await readHead(this.#file.path, qcow2PlanBytes)))
    if (plan.supported) {
      checkSameSize(this.#job.imageId, plan.virtualSizeBytes, this.#judged.virtualSizeBytes)
      await this.#begin(plan.virtualSizeBytes, written)
      return
    }
    this.#toolbox.logger.info('qcow2 goes to qemu-img', { reason: plan.reason })
    await checkQemuImg(this.#toolbox, this.#job.call.signal)
  }

  async #begin(virtualSizeBytes: number, written: Promise<void>): Promise<void> {
    const { request, call } = this.#job
    const volume = await openVolume(request.volume, {
      sizeBytes: virtualSizeBytes,
      ...volumeOptions(this.#toolbox, this.#job),
    })
    this.#cleanup.onFailure(() => volume.close())
    // The decoder leaves out what is zero; of a device that has to be made true first.
    await volume.zero(0, virtualSizeBytes)
    const rateLimiter = rateLimiterOf(this.#job)
    await written
    const stream = await decodeQcow2Stream({
      file: this.#file.path,
      fileBytes: this.#received,
      workers: this.#toolbox.qcow2Workers,
      keep: (chunk, offset) => this.#file.keep(chunk, offset),
      target: {
        // Clusters of zeroes that the image has all the same become holes.
        write: async (chunk, offset) => {
          await rateLimiter?.take(chunk.length)
          // Not `+= await`: others are written meanwhile.
          const dataBytes = await writeSparsely(volume, chunk, offset)
          decoding.written += dataBytes
        },
      },
      signal: call.signal,
    })
    this.#cleanup.onFailure(() => stream.close())
    const decoding: Decoding = { stream, volume, written: 0 }
    this.#decoding = decoding
  }

  async #finish(inspection: InspectionResult): Promise<Streamed | InFile> {
    await this.#plan(Promise.resolve())
    if (this.#decoding === undefined) return this.#file.finish(inspection)
    const { stream, volume } = this.#decoding
    const { virtualSizeBytes } = await stream.end()
    await volume.commit(virtualSizeBytes)
    await volume.close()
    return { kind: 'on-volume', bytesWritten: this.#decoding.written, virtualSizeBytes }
  }
}
