import type { FileHandle } from 'node:fs/promises'
import { MiB } from '@disk-image/core'

/** The less is left for the end the better, but each time a slow disk loses a few of its turns. */
const shortStepBytes = 16 * MiB
const longStepBytes = 64 * MiB
/** 200 MB/s, which few spinning disks write. */
const quickBytesPerMs = 200_000

/**
 * Has the kernel write to the disk while more is coming, so that there is little left to wait for at the end.
 * An error of the disk is told once only, to whoever asks first: it is kept for {@link settle}.
 */
export class BackgroundSync {
  readonly #handle: Pick<FileHandle, 'datasync'>
  #stepBytes = shortStepBytes
  #pendingBytes = 0
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(handle: Pick<FileHandle, 'datasync'>) {
    this.#handle = handle
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
      await this.#handle.datasync()
      const isQuick = bytes >= quickBytesPerMs * (performance.now() - begun)
      this.#stepBytes = isQuick ? shortStepBytes : longStepBytes
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
