import { ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, OverlappedSink, ProgressListener, VerifyPolicy } from '@disk-image/core'
import { hashHere, type HashJob, HashPool } from '../hashing/hash-pool.ts'
import { type ExpectedImage, type HashPlan, planHash, sizeOf } from '../hashing/hash-plan.ts'
import { BufferPool, BufferShare } from '../memory/buffer-pool.ts'
import { Ring } from '../memory/ring.ts'

/** What a {@link Transfer} must be. */
export interface TransferOptions {
  readonly image: ExpectedImage
  readonly verify?: VerifyPolicy | undefined
  /** By Node's names. */
  readonly additionalHashes?: readonly string[] | undefined
  readonly onProgress?: ProgressListener | undefined
  /** Hash in other threads from this size on, and where the size is not known. @default 4 MiB */
  readonly threadFromBytes?: number | undefined
}

/** What the transfers of one client share. @default each has its own */
export interface TransferResources {
  readonly hashPool?: HashPool | undefined
  readonly buffers?: BufferPool | undefined
}

/** What went through a transfer. */
export interface TransferResult {
  /** Bytes handed to the sink. */
  readonly bytes: number
  readonly hash:
    | { readonly algorithm: string; readonly value: string; readonly verified: boolean }
    | undefined
  readonly additionalHashes: Readonly<Record<string, string>>
}

/**
 * Moves an image's bytes, in any portions, to a sink and to the hashes, which take them side by side while more
 * arrives; and says at the end whether they were the right ones. Close it, whatever the end.
 */
export class Transfer {
  readonly #options: TransferOptions
  readonly #plan: HashPlan | undefined
  readonly #total: number | undefined
  /** What ends with it, because nobody shares it. */
  readonly #own: { close(): unknown }[] = []
  readonly #jobs: ReadonlyMap<string, HashJob>
  readonly #ring: Ring
  readonly #write: (bytes: Uint8Array, offset: number) => Promise<void>
  /** Where the sink's bytes begin, once there are any. */
  #sinkFrom: number | undefined
  #partial = false
  #doneBytes = 0

  /** @throws {ImageDownloadFailedError} where the image's record has nothing by which it could be verified as demanded */
  constructor(sink: ByteSink | OverlappedSink, options: TransferOptions, shared: TransferResources = {}) {
    this.#options = options
    this.#plan = planHash(options.image, options.verify ?? 'fallback')
    this.#total = sizeOf(options.image)
    this.#jobs = this.#beginJobs(shared.hashPool ?? this.#keep(new HashPool()))
    const buffers = shared.buffers ?? this.#keep(new BufferPool({ bufferBytes: 1024 * 1024 }))
    this.#ring = new Ring(new BufferShare(buffers), (bytes, offset, again) =>
      this.#consume(bytes, offset, again),
    )
    this.#write = positional(sink, () => {
      // What failed meanwhile keeps the rest from the sink.
      if (this.#ring.failed) return false
      this.#partial = true
      return true
    })
  }

  /** Bytes taken so far, with those read again. */
  get received(): number {
    return this.#ring.position
  }

  /** Whether bytes have been handed to the sink. */
  get partial(): boolean {
    return this.#partial
  }

  /**
   * Free memory for the next bytes: {@link push} a view of its start, and nothing is copied. Undefined where there is
   * none at the moment.
   */
  nextBuffer(): Uint8Array | undefined {
    return this.#ring.nextBuffer()
  }

  /**
   * Takes the next bytes. A promise means: wait before the next ones; until then these must stay as they are.
   *
   * @param again whether the sink has them already, so that they are only hashed
   * @throws what the sink threw; and where there are more bytes than the image has
   */
  push(bytes: Uint8Array, again = false): Promise<void> | undefined {
    this.#ring.throwIfFailed()
    const end = this.received + bytes.length
    if (this.#total !== undefined && end > this.#total) {
      const error = this.#wrong(`more data arrived than the image's ${this.#total} bytes.`)
      this.#ring.fail(error)
      throw error
    }
    if (!again) this.#sinkFrom ??= this.received
    return this.#ring.push(bytes, again, end === this.#total)
  }

  /** Waits for sink and hashes and compares. @throws {ImageDownloadFailedError} where size or hash is wrong */
  async finish(): Promise<TransferResult> {
    await this.#ring.settle()
    this.#ring.throwIfFailed()
    const { received } = this
    if (this.#total !== undefined && received !== this.#total) {
      throw this.#wrong(`${received} bytes arrived, the image has ${this.#total}.`)
    }
    const values = new Map<string, string>()
    for (const [algorithm, job] of this.#jobs) values.set(algorithm, await job.finish())
    const { additionalHashes = [] } = this.#options
    return {
      bytes: received - (this.#sinkFrom ?? received),
      hash: this.#compare(values),
      additionalHashes: Object.fromEntries(additionalHashes.map((name) => [name, values.get(name) ?? ''])),
    }
  }

  /** Waits for what is lent, frees everything. */
  async close(): Promise<void> {
    this.#ring.fail(new Error('The transfer is over'))
    // First those who hash: what they still hold is given back then, also by a thread that says nothing any more.
    await Promise.all([...this.#jobs.values()].map((job) => job.close()))
    await this.#ring.settle()
    this.#ring.close()
    await Promise.all(this.#own.map((one) => one.close()))
  }

  #keep<Resource extends { close(): unknown }>(resource: Resource): Resource {
    this.#own.push(resource)
    return resource
  }

  #beginJobs(pool: HashPool): Map<string, HashJob> {
    const { additionalHashes = [], threadFromBytes = 4 * 1024 * 1024 } = this.#options
    const inThread = this.#total === undefined || this.#total >= threadFromBytes
    const names = new Set(additionalHashes)
    if (this.#plan !== undefined) names.add(this.#plan.nodeAlgorithm)
    const begin = (algorithm: string): HashJob => {
      const task = { kind: 'hash', algorithm } as const
      return inThread ? pool.run(task) : hashHere(task)
    }
    return new Map([...names].map((algorithm) => [algorithm, begin(algorithm)]))
  }

  async #consume(bytes: Uint8Array, offset: number, again: boolean): Promise<void> {
    const written = again ? undefined : this.#write(bytes, offset)
    const hashed = [...this.#jobs.values()].map((job) => job.update(bytes))
    try {
      await Promise.all([written, ...hashed])
    } catch (error) {
      this.#ring.fail(error)
      // Nobody may free what the sink still reads.
      await written?.catch(() => undefined)
      return
    }
    this.#doneBytes += bytes.length
    const { onProgress } = this.#options
    onProgress?.({ stage: 'download', completed: this.#doneBytes, total: this.#total, unit: 'bytes' })
  }

  #compare(values: ReadonlyMap<string, string>): TransferResult['hash'] {
    if (this.#plan === undefined) return undefined
    const { algorithm, nodeAlgorithm, expected } = this.#plan
    const value = values.get(nodeAlgorithm) ?? ''
    if (expected !== undefined && value !== expected) {
      throw this.#wrong(`the ${algorithm} hash of the data is ${value}, the image's record says ${expected}.`)
    }
    return { algorithm, value, verified: expected !== undefined }
  }

  #wrong(reason: string): ImageDownloadFailedError {
    const { id: imageId } = this.#options.image
    return new ImageDownloadFailedError({ imageId, reason, partial: this.#partial })
  }
}

/**
 * The one place where it matters whether a sink takes several parts at once: any other has one after the other.
 *
 * @param mayBegin asked before each write; one that may not is left out without an error
 */
function positional(
  sink: ByteSink | OverlappedSink,
  mayBegin: () => boolean,
): (bytes: Uint8Array, offset: number) => Promise<void> {
  if ('writeAt' in sink) {
    return async (bytes, offset) => {
      if (mayBegin()) await sink.writeAt(bytes, offset)
    }
  }
  let last: Promise<void> = Promise.resolve()
  return (bytes) => {
    // After one that fails none begins: all of them fail with it.
    last = last.then(() => (mayBegin() ? sink.write(bytes) : undefined))
    return last
  }
}
