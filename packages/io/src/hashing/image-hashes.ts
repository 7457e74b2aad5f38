import type { Checksum, VerifyPolicy } from '@disk-image/core'
import {
  type ExpectedImage,
  type HashPlan,
  isCrc,
  planChecksums,
  planHash,
  planPromises,
  sizeOf,
  toNodeHashName,
} from './hash-plan.ts'
import { hashHere, type HashJob, HashPool } from './hash-pool.ts'

/** What is computed over an image's bytes, and compared. */
export interface ImageHashesOptions {
  readonly image: ExpectedImage
  readonly verify?: VerifyPolicy | undefined
  /** By Node's names. */
  readonly additionalHashes?: readonly string[] | undefined
  /** What the bytes must be, whatever `verify` says. */
  readonly checksums?: readonly Checksum[] | undefined
  /** What the source says of them; looked at again with the first byte. Not compared where `verify` is `none`. */
  readonly promises?: readonly Checksum[] | undefined
  /** A hash that is computed for the report where there is nothing to compare with, by the record's name. @default none */
  readonly hashForReport?: string | undefined
  /** Hash in other threads from this size on, and where the size is not known. @default 4 MiB */
  readonly threadFromBytes?: number | undefined
}

/** What came of it. */
export interface ImageHashesResult {
  readonly hash:
    | { readonly algorithm: string; readonly value: string; readonly verified: boolean }
    | undefined
  /** Everything that was compared. */
  readonly verified: readonly Checksum[]
  readonly additionalHashes: Readonly<Record<string, string>>
}

/**
 * The hashes of one image, each computed beside the others, and compared with what the image's record, the caller and
 * the source say.
 */
export class ImageHashes {
  readonly #options: ImageHashesOptions
  /** What is compared, the image's record first. */
  #plans: readonly HashPlan[]
  readonly #inThread: boolean
  readonly #pool: HashPool
  readonly #ownPool: HashPool | undefined
  /** By Node's names. */
  readonly #jobs = new Map<string, HashJob>()

  /**
   * @throws {ImageDownloadFailedError} where there is nothing by which the image could be verified as demanded
   * @throws {InvalidError} for a checksum of the caller that can't be one
   */
  constructor(options: ImageHashesOptions, sharedPool?: HashPool) {
    const { image, threadFromBytes = 4 * 1024 * 1024 } = options
    this.#options = options
    this.#plans = planAll(options)
    const sizeBytes = sizeOf(image)
    this.#pool = sharedPool ?? new HashPool()
    this.#ownPool = sharedPool === undefined ? this.#pool : undefined
    this.#inThread = sizeBytes === undefined || sizeBytes >= threadFromBytes
    this.#beginJobs()
  }

  /** Called with the first byte: what the source promises since then is compared as well. */
  begin(): void {
    if (this.#options.promises === undefined) return
    this.#plans = planAll(this.#options)
    this.#beginJobs()
  }

  /** Takes the next bytes, which must not change until all of the promises have settled. */
  update(bytes: Uint8Array): Promise<void>[] {
    return [...this.#jobs.values()].map((job) => job.update(bytes))
  }

  /** @throws what `wrong` makes of the reason why the bytes are not what somebody says */
  async finish(wrong: (reason: string) => Error): Promise<ImageHashesResult> {
    const values = new Map<string, string>()
    for (const [algorithm, job] of this.#jobs) values.set(algorithm, await job.finish())
    const verified = this.#compare(values, wrong)
    const { additionalHashes = [] } = this.#options
    return {
      hash: this.#report(verified, values),
      verified,
      additionalHashes: Object.fromEntries(additionalHashes.map((name) => [name, values.get(name) ?? ''])),
    }
  }

  /** Waits for nothing: what a thread still has is given up. */
  async close(): Promise<void> {
    await Promise.all([...this.#jobs.values()].map((job) => job.close()))
    await this.#ownPool?.close()
  }

  /** Begins each hash that is not begun yet; one does for all who want it. */
  #beginJobs(): void {
    const { additionalHashes = [] } = this.#options
    const compared = this.#plans.map(({ nodeAlgorithm }) => nodeAlgorithm)
    const forReport = compared.every((name) => isCrc(name)) ? this.#nameForReport : undefined
    for (const algorithm of [...additionalHashes, ...compared, forReport]) {
      if (algorithm === undefined || this.#jobs.has(algorithm)) continue
      const task = { kind: 'hash', algorithm } as const
      this.#jobs.set(algorithm, this.#inThread ? this.#pool.run(task) : hashHere(task))
    }
  }

  get #nameForReport(): string | undefined {
    const { hashForReport, verify } = this.#options
    return hashForReport === undefined || verify === 'none' ? undefined : toNodeHashName(hashForReport)
  }

  /** @returns each algorithm once, the record's first */
  #compare(values: ReadonlyMap<string, string>, wrong: (reason: string) => Error): Checksum[] {
    const verified = new Map<string, Checksum>()
    for (const { algorithm, nodeAlgorithm, expected, saidBy } of this.#plans) {
      const value = values.get(nodeAlgorithm) ?? ''
      if (value !== expected) {
        throw wrong(`the ${algorithm} hash of the data is ${value}, ${saidBy} ${expected}.`)
      }
      verified.set(nodeAlgorithm, { algorithm, value })
    }
    return [...verified.values()]
  }

  #report(verified: readonly Checksum[], values: ReadonlyMap<string, string>): ImageHashesResult['hash'] {
    const best = verified.find(({ algorithm }) => !isCrc(algorithm))
    if (best !== undefined) return { ...best, verified: true }
    const { hashForReport: algorithm } = this.#options
    const value = values.get(this.#nameForReport ?? '')
    return algorithm === undefined || value === undefined ? undefined : { algorithm, value, verified: false }
  }
}

/** Everything that the bytes are compared with, the image's record first. */
function planAll({
  image,
  verify = 'fallback',
  checksums = [],
  promises = [],
}: ImageHashesOptions): HashPlan[] {
  const demanded = planChecksums(checksums)
  const promised = verify === 'none' ? [] : planPromises(image, promises)
  const isStrong =
    demanded.length > 0 || promised.some(({ algorithm }) => algorithm !== 'md5' && !isCrc(algorithm))
  const ofRecord = planHash(image, verify === 'strict' && isStrong ? 'fallback' : verify)
  const all = [...(ofRecord === undefined ? [] : [ofRecord]), ...demanded, ...promised]
  const hashes = all.filter(({ algorithm }) => !isCrc(algorithm))
  // Beside a hash a sum tells nothing more.
  return hashes.length > 0 ? hashes : all
}
