import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { InvalidError, MiB, type ProcessRunner, type Target } from '@disk-image/core'
import type { RbdName } from '../jobs/identity.ts'
import type { DriverCall } from '../volumes/volume-driver.ts'
import { partialOf } from './rbd-commands.ts'
import type { RbdCommands } from './rbd-commands.ts'

/** Bytes that may wait for rbd. */
const heldBytes = 4 * 1024 * 1024
/** How long rbd may take to end once there is nothing more to take. */
const patienceMs = 5000

const zeros = new Uint8Array(MiB)

/**
 * A new volume, filled through `rbd import -` under another name, and given its own when it is whole.
 *
 * An import that is given up gets the end of its input rather than a signal: Ceph takes a killed client for one that is
 * still there, and removes nothing of its for half a minute.
 */
export class ImportTarget implements Target {
  readonly #runner: ProcessRunner
  readonly #commands: RbdCommands
  readonly #name: RbdName
  readonly #signal: AbortSignal
  readonly #pipe = new PassThrough({ highWaterMark: heldBytes })
  readonly #ended = new AbortController()
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>
  #position = 0
  #isCommitted = false
  #abandoned: Promise<void> | undefined

  constructor(runner: ProcessRunner, commands: RbdCommands, name: RbdName, { signal }: DriverCall) {
    this.#runner = runner
    this.#commands = commands
    this.#name = name
    this.#signal = signal
    this.#running = runner
      .run(commands.import('-', partialOf(name)), { input: this.#pipe, signal: this.#stop.signal })
      .finally(() => this.#ended.abort())
    // Whoever writes or commits is told; until then nobody listens.
    this.#running.catch(() => undefined)
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#signal.throwIfAborted()
    if (offset !== this.#position) {
      throw new InvalidError({ reason: `An import goes on at ${this.#position}, not at ${offset}.` })
    }
    this.#position += bytes.length
    if (this.#ended.signal.aborted) await this.#running
    // The bytes are only lent, and the pipe holds on to what it is given.
    if (this.#pipe.write(new Uint8Array(bytes))) return
    const signal = AbortSignal.any([this.#ended.signal, this.#signal])
    await once(this.#pipe, 'drain', { signal }).catch(async () => {
      this.#signal.throwIfAborted()
      await this.#running
    })
  }

  async zero(offset: number, length: number): Promise<void> {
    const end = offset + length
    for (let at = offset; at < end; at += zeros.length) await this.write(zeros.subarray(0, end - at), at)
  }

  async commit(sizeBytes: number): Promise<void> {
    // A disk consists of whole sectors; what is missing beyond them is there without being written.
    await this.zero(
      this.#position,
      Math.min(sizeBytes, Math.ceil(this.#position / 512) * 512) - this.#position,
    )
    this.#pipe.end()
    await this.#running
    const [partial, signal] = [partialOf(this.#name), this.#signal]
    if (sizeBytes > this.#position)
      await this.#runner.run(this.#commands.resize(partial, sizeBytes), { signal })
    await this.#runner.run(this.#commands.rename(partial, this.#name), { signal })
    this.#isCommitted = true
  }

  async abandon(): Promise<void> {
    if (!this.#isCommitted) await (this.#abandoned ??= this.#takeBack())
  }

  async #takeBack(): Promise<void> {
    this.#pipe.end()
    const timer = setTimeout(() => this.#stop.abort(), patienceMs)
    await this.#running.catch(() => undefined)
    clearTimeout(timer)
    this.#pipe.destroy()
    const remove = this.#commands.remove(partialOf(this.#name))
    await this.#runner.run(remove, { timeoutMs: 30_000 }).catch(() => undefined)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon()
  }
}
