import type { FileHandle } from 'node:fs/promises'
import { MiB } from '@disk-image/core'

const stepBytes = 64 * MiB

/**
 * Has the kernel write to the disk while more is coming, so that there is little left to wait for at the end.
 * An error of the disk is told once only, to whoever asks first: it is kept for {@link settle}.
 */
export class BackgroundSync {
  readonly #handle: FileHandle
  #pendingBytes = 0
  #running: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  /** Says how much was written. */
  wrote(bytes: number): void {
    this.#pendingBytes += bytes
    if (this.#pendingBytes < stepBytes || this.#running !== undefined) return
    this.#pendingBytes = 0
    this.#running = this.#sync()
  }

  async #sync(): Promise<void> {
    try {
      await this.#handle.datasync()
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
