import { type FileHandle, open } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'
import { readFully, writeFully } from '@disk-image/io'

const sectorBytes = 512

/** A case that is being recorded. */
interface CaseRecorder extends AsyncDisposable {
  /** Reads the file, and keeps what was read. */
  readonly reader: RandomAccessReader
  /** Bytes kept so far, without sectors of zeroes. */
  readonly keptBytes: number
}

/**
 * Records what the inspector reads of an image: a file of the same size with holes for everything else. The
 * inspector says the same of it, and it has nothing of the disk but the first MiB and the tables.
 *
 * @param path an image, a regular file
 * @param target a new file, mode 0600
 */
export async function recordCase(path: string, target: string): Promise<CaseRecorder> {
  const source = await open(path)
  let record: FileHandle | undefined
  try {
    const { size } = await source.stat()
    record = await open(target, 'wx', 0o600)
    await record.truncate(size)
    return new SparseRecorder(source, record, size)
  } catch (error) {
    await source.close()
    await record?.close()
    throw error
  }
}

class SparseRecorder implements CaseRecorder {
  readonly #source: FileHandle
  readonly #record: FileHandle
  readonly #size: number
  #keptBytes = 0

  constructor(source: FileHandle, record: FileHandle, size: number) {
    this.#source = source
    this.#record = record
    this.#size = size
  }

  get reader(): RandomAccessReader {
    return { size: this.#size, read: (offset, length) => this.#read(offset, length) }
  }

  get keptBytes(): number {
    return this.#keptBytes
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(Math.min(length, Math.max(0, this.#size - offset)))
    const bytes = buffer.subarray(0, await readFully(this.#source, buffer, offset))
    for (let start = 0; start < bytes.length; start += sectorBytes) {
      const sector = bytes.subarray(start, start + sectorBytes)
      if (sector.every((byte) => byte === 0)) continue
      await writeFully(this.#record, sector, offset + start)
      this.#keptBytes += sector.length
    }
    return bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.close()
    await this.#record.close()
  }
}
