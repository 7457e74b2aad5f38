import type { VerifyPolicy } from '@disk-image/core'
import { type ExpectedImage, type HashPlan, planHash, sizeOf } from './hash-plan.ts'
import { hashHere, type HashJob, HashPool } from './hash-pool.ts'

/** What is computed over an image's bytes, and compared. */
export interface ImageHashesOptions {
  readonly image: ExpectedImage
  readonly verify?: VerifyPolicy | undefined
  /** By Node's names. */
  readonly additionalHashes?: readonly string[] | undefined
  /** Hash in other threads from this size on, and where the size is not known. @default 4 MiB */
  readonly threadFromBytes?: number | undefined
}

/** What came of it. */
export interface ImageHashesResult {
  readonly hash:
    | { readonly algorithm: string; readonly value: string; readonly verified: boolean }
    | undefined
  readonly additionalHashes: Readonly<Record<string, string>>
}

/** The hashes of one image, each computed beside the others, and compared with what the image's record says. */
export class ImageHashes {
  readonly #plan: HashPlan | undefined
  readonly #additional: readonly string[]
  readonly #jobs: ReadonlyMap<string, HashJob>
  readonly #ownPool: HashPool | undefined

  /** @throws {ImageDownloadFailedError} where the image's record has nothing by which it could be verified as demanded */
  constructor(options: ImageHashesOptions, sharedPool?: HashPool) {
    const { image, verify = 'fallback', additionalHashes = [], threadFromBytes = 4 * 1024 * 1024 } = options
    this.#plan = planHash(image, verify)
    this.#additional = additionalHashes
    const sizeBytes = sizeOf(image)
    this.#ownPool = sharedPool === undefined ? new HashPool() : undefined
    const inThread = sizeBytes === undefined || sizeBytes >= threadFromBytes
    const pool = inThread ? (sharedPool ?? this.#ownPool) : undefined
    const names = new Set(additionalHashes)
    if (this.#plan !== undefined) names.add(this.#plan.nodeAlgorithm)
    const begin = (algorithm: string): HashJob => {
      const task = { kind: 'hash', algorithm } as const
      return pool?.run(task) ?? hashHere(task)
    }
    this.#jobs = new Map([...names].map((algorithm) => [algorithm, begin(algorithm)]))
  }

  /** Takes the next bytes, which must not change until all of the promises have settled. */
  update(bytes: Uint8Array): Promise<void>[] {
    return [...this.#jobs.values()].map((job) => job.update(bytes))
  }

  /** @throws what `wrong` makes of the reason why the image is not what its record says */
  async finish(wrong: (reason: string) => Error): Promise<ImageHashesResult> {
    const values = new Map<string, string>()
    for (const [algorithm, job] of this.#jobs) values.set(algorithm, await job.finish())
    return {
      hash: this.#compare(values, wrong),
      additionalHashes: Object.fromEntries(this.#additional.map((name) => [name, values.get(name) ?? ''])),
    }
  }

  /** Waits for nothing: what a thread still has is given up. */
  async close(): Promise<void> {
    await Promise.all([...this.#jobs.values()].map((job) => job.close()))
    await this.#ownPool?.close()
  }

  #compare(values: ReadonlyMap<string, string>, wrong: (reason: string) => Error): ImageHashesResult['hash'] {
    if (this.#plan === undefined) return undefined
    const { algorithm, nodeAlgorithm, expected } = this.#plan
    const value = values.get(nodeAlgorithm) ?? ''
    if (expected !== undefined && value !== expected) {
      throw wrong(`the ${algorithm} hash of the data is ${value}, the image's record says ${expected}.`)
    }
    return { algorithm, value, verified: expected !== undefined }
  }
}
