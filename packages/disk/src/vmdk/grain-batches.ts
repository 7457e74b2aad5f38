import { refuse } from '../errors.ts'
import { inflateSlackBytes } from '../stream/inflate-cluster.ts'
import type { StreamDecoderOptions } from '../stream/stream-decoder.ts'
import type { WorkerShare } from '../stream/decode-workers.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

/** A compressed grain of the file. */
export interface GrainRecord {
  /** Byte of the disk. */
  readonly offset: number
  /** Bytes of its compressed data. */
  readonly length: number
  /** Byte of the file. */
  readonly place: number
}

interface Batch {
  readonly input: Uint8Array
  readonly output: Uint8Array
  readonly records: GrainRecord[]
  inputBytes: number
}

/** Collects compressed grains, lets threads inflate them, and writes them: as many at once as there are buffers. */
export class GrainBatches {
  readonly #layout: VmdkLayout
  readonly #share: WorkerShare
  readonly #options: StreamDecoderOptions
  #batch: Batch | undefined
  readonly #underWay = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined
  #isClosed = false
  bytesWritten = 0

  constructor(layout: VmdkLayout, share: WorkerShare, options: StreamDecoderOptions) {
    this.#layout = layout
    this.#share = share
    this.#options = options
  }

  /** Makes room for a grain. Its bytes come by {@link add}. */
  async begin(record: GrainRecord): Promise<void> {
    const { grainBytes } = this.#layout
    const batch = this.#batch
    if (batch !== undefined) {
      const isFull =
        batch.inputBytes + record.length > batch.input.length ||
        (batch.records.length + 1) * grainBytes + inflateSlackBytes > batch.output.length
      if (isFull) this.#send()
    }
    if (this.#batch === undefined) {
      const { buffers } = this.#share
      const input = await buffers.acquire()
      const output = await buffers.acquire()
      this.throwIfFailed()
      this.#batch = { input, output, records: [], inputBytes: 0 }
    }
    this.#batch.records.push(record)
  }

  /** Takes a copy of the next bytes of the grain that has begun. */
  add(bytes: Uint8Array): void {
    const batch = this.#batch as Batch
    batch.input.set(bytes, batch.inputBytes)
    batch.inputBytes += bytes.length
  }

  /** Resolves when all grains are written. */
  async end(): Promise<void> {
    this.#send()
    await Promise.all(this.#underWay)
    this.throwIfFailed()
  }

  /** Gives up, and resolves when nothing is under way any more. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#failure ??= { error: new Error('The decoding of a stream was given up.') }
    await this.#share.close()
    await Promise.all(this.#underWay)
    this.#share.buffers.close()
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #send(): void {
    const batch = this.#batch
    if (batch === undefined) return
    this.#batch = undefined
    const done = this.#run(batch)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#underWay.delete(done)
        this.#share.buffers.release(batch.input)
        this.#share.buffers.release(batch.output)
      })
    this.#underWay.add(done)
  }

  async #run({ input, output, records }: Batch): Promise<void> {
    const { grainBytes, sizeBytes } = this.#layout
    const grains = new Float64Array(records.length * 3)
    let start = 0
    for (const [index, { length, offset }] of records.entries()) {
      grains.set([start, length, Math.min(grainBytes, sizeBytes - offset)], index * 3)
      start += length
    }
    const reply = await this.#share.run({ grainBytes, grains, input, output })
    if (reply.kind === 'failed') throw new Error(reply.message)
    if (reply.kind === 'refused') {
      refuse('vmdk-grain-data', 'a compressed grain is damaged', {
        found: reply.reason,
        offset: records[reply.offset]?.place,
        accepted: `${grainBytes} bytes`,
      })
    }
    await this.#write(output, records)
  }

  /** Neighbours of the disk with one write. */
  async #write(output: Uint8Array, records: readonly GrainRecord[]): Promise<void> {
    const { grainBytes, sizeBytes } = this.#layout
    const { target, onProgress } = this.#options
    for (let from = 0; from < records.length;) {
      const offset = records[from]?.offset ?? 0
      let to = from + 1
      while (records[to]?.offset === offset + (to - from) * grainBytes) to += 1
      const length = Math.min((to - from) * grainBytes, sizeBytes - offset)
      this.throwIfFailed()
      await target.write(output.subarray(from * grainBytes, from * grainBytes + length), offset)
      this.bytesWritten += length
      onProgress?.({ stage: 'convert', completed: this.bytesWritten, total: sizeBytes, unit: 'bytes' })
      from = to
    }
  }
}
