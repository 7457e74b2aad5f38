import type { ByteSink } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { createZeroDetector, openVolume, type Volume, writeSparsely } from '@disk-image/host'
import { decodeQcow2, planQcow2, qcow2PlanBytes } from '@disk-image/qemu-img/qcow2'
import { readHead } from '../sources/file-chunks.ts'
import type { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import { Frontier } from './frontier.ts'
import type { Job } from './job.ts'
import { paceOf, volumeOptions } from './write-volume.ts'
import type { FileTarget, InFile, Streamed } from './receive.ts'

/**
 * qcow2 onto a raw volume while it downloads: the bytes go into the temporary file, and the decoder follows
 * behind them. An image that the decoder doesn't fully understand is left in the file, for qemu-img. Where it
 * does, no tool reads the image, so none is asked what it makes of it.
 */
export class OverlappedDecode {
  readonly #toolbox: Toolbox
  readonly #job: Job
  readonly #file: FileTarget
  readonly #cleanup: Cleanup
  readonly #frontier = new Frontier()
  readonly #abort = new AbortController()
  #received = 0
  #decoding: Promise<Streamed | undefined> | undefined
  #failure: { readonly error: unknown } | undefined
  #volume: Volume | undefined

  private constructor(toolbox: Toolbox, job: Job, cleanup: Cleanup, file: FileTarget) {
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
  ): { sink: ByteSink; finish(inspection: InspectionResult): Promise<Streamed | InFile> } {
    const decode = new OverlappedDecode(toolbox, job, cleanup, file)
    return {
      sink: { write: (chunk) => decode.#write(chunk) },
      finish: (inspection) => decode.#finish(inspection),
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error
    await this.#file.sink.write(chunk)
    this.#received += chunk.length
    this.#frontier.advance(this.#received)
    this.#decoding ??= this.#begin()
  }

  /** Starts the decoder. Its failure is kept for the next write, and ends the download there. */
  #begin(): Promise<Streamed | undefined> {
    const decoding = this.#decode()
    decoding.catch((error: unknown) => {
      this.#failure = { error }
    })
    this.#cleanup.onFailure(async () => {
      this.#abort.abort()
      this.#frontier.end()
      await decoding.catch(() => undefined)
      await this.#volume?.close()
    })
    return decoding
  }

  async #decode(): Promise<Streamed | undefined> {
    const { request, call } = this.#job
    await this.#frontier.waitFor(qcow2PlanBytes)
    const plan = await planQcow2(await readHead(this.#file.path, qcow2PlanBytes))
    if (!plan.supported) {
      this.#toolbox.logger.info('qcow2 goes to qemu-img', { reason: plan.reason })
      return undefined
    }
    const volume = await openVolume(request.volume, {
      sizeBytes: plan.virtualSizeBytes,
      ...volumeOptions(this.#toolbox, this.#job),
    })
    this.#volume = volume
    // The decoder leaves out what is zero; of a device that has to be made true first.
    await volume.skip(0, plan.virtualSizeBytes)
    const signals = [this.#abort.signal, call.signal].filter((signal) => signal !== undefined)
    const zeroes = createZeroDetector()
    const pace = paceOf(this.#job)
    let bytesWritten = 0
    const { virtualSizeBytes } = await decodeQcow2({
      source: this.#file.path,
      frontier: this.#frontier,
      target: {
        // Clusters of zeroes that the image has all the same become holes.
        write: async (chunk, offset) => {
          await pace?.take(chunk.length)
          bytesWritten += (await writeSparsely(volume, chunk, offset, zeroes)).dataBytes
        },
      },
      signal: AbortSignal.any(signals),
    })
    return { kind: 'on-volume', bytesWritten, virtualSizeBytes }
  }

  async #finish(inspection: InspectionResult): Promise<Streamed | InFile> {
    this.#frontier.end()
    const inFile = await this.#file.finish(inspection)
    const decoded = await this.#decoding
    if (decoded === undefined || this.#volume === undefined) return inFile
    await this.#volume.finish(decoded.virtualSizeBytes)
    await this.#volume.close()
    return decoded
  }
}
