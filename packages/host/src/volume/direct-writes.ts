import { constants } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { KiB } from '@disk-image/core'
import { isPageAligned, pageBytes } from '@disk-image/io'
import { DirectIoGovernor } from './direct-io-governor.ts'

/** Shorter writes go through the page cache, which puts them together: each of these waits for the device. */
const leastBytes = 256 * KiB

/**
 * Each write keeps one of the four threads busy that do Node.js' file work, until the device has it; what comes
 * meanwhile goes through the page cache. A single volume is quickest with two at once, several together with three.
 */
const mostOfOne = 2
const mostOfAll = 3
const underWayOfAll = new Set<object>()

/** File systems for which it is known to be faster: ext2 to ext4, and XFS. @see statfs(2) for the numbers */
const quickFileSystems: ReadonlySet<number> = new Set([0xef53, 0x58465342])

/**
 * Writes past the page cache (O_DIRECT) what lends itself to it: large pieces from page-aligned memory. It saves a
 * copy of every byte, and the memory for it, which a virtual machine may first have to get from its host. Beside it
 * the rest may be written through the cache, as long as no page gets both. Where the disk turns out to be slow, what
 * comes next is, at least for a while.
 */
export class DirectWrites {
  readonly #handle: Pick<FileHandle, 'fd'>
  readonly #kind: 'file' | 'block-device'
  /** Opened when it is first needed; undefined where the file can't be, or wouldn't be faster. */
  #direct: Promise<FileHandle | undefined> | undefined
  readonly #governor: DirectIoGovernor
  #givenUp = false
  #underWay = 0

  /**
   * @param handle of what is written; it stays the owner's
   * @param triesAgain whether a disk that was slow is tried again; nobody waits for it where nothing has to be durable
   */
  constructor(handle: Pick<FileHandle, 'fd'>, kind: 'file' | 'block-device', triesAgain = true) {
    this.#handle = handle
    this.#kind = kind
    this.#governor = new DirectIoGovernor(triesAgain)
  }

  /**
   * Writes a chunk, if it lends itself to that.
   *
   * @returns how many bytes were written; the rest, which may be all, is left to the page cache
   */
  async write(chunk: Uint8Array, offset: number): Promise<number> {
    if (this.#givenUp || !isFit(chunk, offset) || !this.#governor.tries(chunk.byteLength)) return 0
    if (this.#underWay >= mostOfOne || underWayOfAll.size >= mostOfAll) return 0
    const one = {}
    underWayOfAll.add(one)
    this.#underWay += 1
    try {
      this.#direct ??= this.#open()
      const direct = await this.#direct
      if (direct === undefined) return 0
      const begun = performance.now()
      const { bytesWritten } = await direct.write(chunk, 0, chunk.byteLength, offset)
      this.#governor.took(bytesWritten, performance.now() - begun)
      return bytesWritten
    } catch (error) {
      if (!isRefusal(error)) throw error
      this.#givenUp = true
      return 0
    } finally {
      this.#underWay -= 1
      underWayOfAll.delete(one)
    }
  }

  async close(): Promise<void> {
    this.#givenUp = true
    const direct = await this.#direct
    await direct?.close()
  }

  async #open(): Promise<FileHandle | undefined> {
    const flag = constants.O_DIRECT as number | undefined
    // The open file itself, whatever its path leads to by now.
    const same = `/proc/self/fd/${this.#handle.fd}`
    try {
      if (flag === undefined) return undefined
      if (this.#kind === 'file' && !quickFileSystems.has((await statfs(same)).type)) return undefined
      return await open(same, constants.O_WRONLY | flag)
    } catch {
      return undefined
    }
  }
}

function isFit(chunk: Uint8Array, offset: number): boolean {
  const { byteLength } = chunk
  return (
    byteLength >= leastBytes &&
    byteLength % pageBytes === 0 &&
    offset % pageBytes === 0 &&
    isPageAligned(chunk)
  )
}

/** What a file answers to O_DIRECT as such, or to this length or place. */
function isRefusal(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EINVAL' || code === 'EOPNOTSUPP' || code === 'ENOTSUP'
}
