import type { Layout, OverlappedSink } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { openVolume, type Volume, writeSparsely } from '@disk-image/host'
import { openStreamDecoder, planStream, type StreamDecoder } from '@disk-image/disk'
import { layoutHeadBytes } from '@disk-image/disk/layouts'
import type { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import type { Job } from './job.ts'
import { checkQemuImg } from './needs-qemu-img.ts'
import { checkSameSize } from './same-size.ts'
import { rateLimiterOf, volumeOptions } from './write-volume.ts'
import type { FileTarget, InFile, Streamed } from './receive.ts'

/** An image that the decoder takes, on its way onto the volume. */
interface Decoding {
  readonly decoder: StreamDecoder
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
  /** What came before it was planned. */
  readonly #head: Uint8Array[] = []
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
    this.#received = offset + chunk.length
    if (!this.#isPlanned) {
      this.#head.push(new Uint8Array(chunk))
      if (this.#received >= layoutHeadBytes) await this.#plan()
      return { done: Promise.resolve() }
    }
    return {
      done: this.#decoding?.decoder.write(chunk, offset) ?? this.#file.sink.writeAt(chunk, offset),
    }
  }

  /** Begins to decode, if the decoder takes what the head tells of; and lets the head go its way. */
  async #plan(): Promise<void> {
    if (this.#isPlanned) return
    this.#isPlanned = true
    const head = Buffer.concat(this.#head.splice(0))
    const plan = planStream('qcow2', head.subarray(0, layoutHeadBytes))
    if (plan.supported) {
      checkSameSize(this.#job.imageId, plan.layout.sizeBytes, this.#judged.virtualSizeBytes)
      await (await this.#begin(plan.layout)).write(head, 0)
      return
    }
    this.#toolbox.logger.info('qcow2 goes to qemu-img', { reason: plan.reason })
    await checkQemuImg(this.#toolbox, this.#job.call.signal)
    if (head.length > 0) await this.#file.sink.writeAt(head, 0)
  }

  async #begin(layout: Layout): Promise<StreamDecoder> {
    const { request, call } = this.#job
    const volume = await openVolume(request.volume, {
      sizeBytes: layout.sizeBytes,
      ...volumeOptions(this.#toolbox, this.#job),
    })
    this.#cleanup.onFailure(() => volume.close())
    // The decoder leaves out what is zero; of a device that has to be made true first.
    await volume.zero(0, layout.sizeBytes)
    const rateLimiter = rateLimiterOf(this.#job)
    const decoder = await openStreamDecoder(layout, {
      workers: this.#toolbox.decodeWorkers,
      spool: { file: this.#file.path, write: (chunk, offset) => this.#file.keep(chunk, offset) },
      target: {
        // Clusters of zeroes that the image has all the same become holes.
        write: async (chunk, offset) => {
          await rateLimiter?.take(chunk.length)
          // Not `+= await`: others are written meanwhile.
          const dataBytes = await writeSparsely(volume, chunk, offset)
          decoding.written += dataBytes
        },
        zero: (offset, length) => volume.zero(offset, length),
      },
      signal: call.signal,
    })
    this.#cleanup.onFailure(() => decoder.close())
    const decoding: Decoding = { decoder, volume, written: 0 }
    this.#decoding = decoding
    return decoder
  }

  async #finish(inspection: InspectionResult): Promise<Streamed | InFile> {
    await this.#plan()
    if (this.#decoding === undefined) return this.#file.finish(inspection)
    const { decoder, volume } = this.#decoding
    const { virtualSizeBytes } = await decoder.end()
    await volume.commit(virtualSizeBytes)
    await volume.close()
    return { kind: 'on-volume', bytesWritten: this.#decoding.written, virtualSizeBytes }
  }
}
