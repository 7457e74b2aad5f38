import type { Target } from '@disk-image/core'
import { openVolume, type OpenVolumeOptions, type Volume } from '@disk-image/host'

/** A target that is opened, and abandoned where it is closed before it is committed. */
export interface OpenedTarget extends Target, Pick<Volume, 'reached'> {
  close(): Promise<void>
}

/** What the caller gave, which takes its bytes in order; or the volume of that path. */
export async function openTarget(
  given: Target | undefined,
  path: string,
  options: OpenVolumeOptions,
): Promise<OpenedTarget> {
  return given === undefined ? openVolume(path, options) : new InOrder(given, options.fileLengthBytes ?? 0)
}

/** Hands everything on from the start to the end, one after the other, in whatever order it comes. */
class InOrder implements OpenedTarget {
  readonly #target: Target
  /** At least so long it becomes. */
  readonly #lengthBytes: number
  #position = 0
  readonly #waiting = new Map<
    number,
    { readonly begin: () => void; readonly fail: (error: unknown) => void }
  >()
  #failure: { readonly error: unknown } | undefined
  #isCommitted = false

  constructor(target: Target, lengthBytes: number) {
    this.#target = target
    this.#lengthBytes = lengthBytes
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#inTurn(offset, bytes.length, () => this.#target.write(bytes, offset))
  }

  zero(offset: number, length: number): Promise<void> {
    return this.#inTurn(offset, length, () => this.#target.zero(offset, length))
  }

  async commit(sizeBytes: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error
    await this.#target.commit(Math.max(sizeBytes, this.#lengthBytes))
    this.#isCommitted = true
  }

  reached(): void {
    // Nothing is kept of it.
  }

  abandon(): Promise<void> {
    return this.#target.abandon()
  }

  async close(): Promise<void> {
    this.#fail(new Error('the target was closed'))
    if (!this.#isCommitted) await this.#target.abandon()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #inTurn(offset: number, length: number, act: () => Promise<void>): Promise<void> {
    if (length === 0) return
    if (this.#failure !== undefined) throw this.#failure.error
    if (offset !== this.#position) {
      await new Promise<void>((begin, fail) => this.#waiting.set(offset, { begin, fail }))
    }
    try {
      await act()
    } catch (error) {
      this.#fail(error)
      throw error
    }
    this.#position = offset + length
    const next = this.#waiting.get(this.#position)
    this.#waiting.delete(this.#position)
    next?.begin()
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    for (const { fail } of this.#waiting.values()) fail(error)
    this.#waiting.clear()
  }
}
