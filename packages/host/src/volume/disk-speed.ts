import type { FileHandle } from 'node:fs/promises'
import { MiB } from '@disk-image/core'

/** The less is left for the end the better, but each time a slow disk loses a few of its turns. */
const shortStepBytes = 16 * MiB
const longStepBytes = 64 * MiB
/** 200 MB/s, which few spinning disks write. */
const quickSyncBytesPerMs = 200_000

/**
 * Has the kernel write to the disk while more is coming, so that there is little left to wait for at the end.
 * An error of the disk is told once only, to whoever asks first: it is kept for {@link settle}.
 */
export class BackgroundSync {
  readonly #handle: Pick<FileHandle, 'datasync'>
  readonly #begins: (() => (() => Promise<void>) | undefined) | undefined
  #stepBytes = shortStepBytes
  #pendingBytes = 0
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  /** @param begins called before each time; what it returns is called when that has succeeded */
  constructor(handle: Pick<FileHandle, 'datasync'>, begins?: () => (() => Promise<void>) | undefined) {
    this.#handle = handle
    this.#begins = begins
  }

  /** Says how much was written. */
  wrote(bytes: number): void {
    this.#pendingBytes += bytes
    if (this.#pendingBytes < this.#stepBytes || this.#running !== undefined) return
    this.#running = this.#sync(this.#pendingBytes)
    this.#pendingBytes = 0
  }

  async #sync(bytes: number): Promise<void> {
    const begun = performance.now()
    try {
      const done = this.#begins?.()
      await this.#handle.datasync()
      const isQuick = bytes >= quickSyncBytesPerMs * (performance.now() - begun)
      this.#stepBytes = isQuick ? shortStepBytes : longStepBytes
      await done?.()
    } catch (error) {
      this.#failure ??= { error }
    } finally {
      this.#running = undefined
    }
  }

  /** Waits for what is under way. @throws what went wrong there */
  async settle(): Promise<void> {
    await this.#running
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/**
 * 10 ms for a MiB, which with two at once is a disk of 200 MiB/s. What waits for a slower one is better in the page
 * cache, and not in the memory that the next bytes need.
 */
const quickWriteBytesPerMs = MiB / 10
/** So many writes are judged together: each may have met with something else that the disk did. */
const firstJudged = 16
/** A disk that was slow before is judged sooner: each try holds others up. */
const laterJudged = 4
/** What remains, with each further write, of those before it. */
const kept = 1 - 1 / firstJudged
/** How much goes elsewhere before a slow disk is tried again; after each further try twice as much as before. */
const firstPauseBytes = 32 * MiB

/**
 * Whether a disk keeps up with writes that wait for it, told by what the latest took. One that doesn't is left alone
 * for a while, and longer each time: most disks have slow moments, and some are slow.
 */
export class DirectIoGovernor {
  #judged = firstJudged
  #pauseBytes = 0
  #nextPauseBytes: number
  #writes = 0
  /** Of the latest writes: sums in which each counts less with every one after it. */
  #bytes = 0
  #ms = 0

  /** @param triesAgain false: one that was slow is left alone for good */
  constructor(triesAgain: boolean) {
    this.#nextPauseBytes = triesAgain ? firstPauseBytes : Infinity
  }

  /** Asked of each piece before it is written. @returns whether the disk is to be tried with it */
  tries(bytes: number): boolean {
    if (this.#pauseBytes <= 0) return true
    this.#pauseBytes -= bytes
    return false
  }

  /** Tells what a write took. */
  took(bytes: number, ms: number): void {
    this.#writes += 1
    this.#bytes = this.#bytes * kept + bytes
    this.#ms = this.#ms * kept + ms
    if (this.#writes < this.#judged || this.#bytes >= quickWriteBytesPerMs * this.#ms) return
    this.#pauseBytes = this.#nextPauseBytes
    this.#nextPauseBytes *= 2
    this.#judged = laterJudged
    this.#writes = 0
    this.#bytes = 0
    this.#ms = 0
  }
}
