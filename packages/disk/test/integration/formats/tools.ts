import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Disk, RandomAccessReader } from '@disk-image/core'
import { type ReadableFormat, openDisk } from '@disk-image/disk'
import { requireTool } from '@disk-image/testing'
import type { Random } from '../../random.ts'

const run = promisify(execFile)

/** Runs a tool; a non-zero end rejects. */
export async function tool(name: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(requireTool(name), [...args], { timeout: 60_000, maxBuffer: 2 ** 24 })
  return stdout
}

/** Files that are gone at the end of the scope. */
export async function createFolder(): Promise<AsyncDisposable & { file(name: string): string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'disk-image-readers-'))
  return {
    file: (name) => path.join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** A file as readers take it; `largestRead` is the most that was ever asked for. */
export async function openReader(
  file: string,
): Promise<RandomAccessReader & AsyncDisposable & { readonly largestRead: number }> {
  const handle = await open(file, 'r')
  const { size } = await handle.stat()
  let largestRead = 0
  return {
    size,
    get largestRead() {
      return largestRead
    },
    async read(offset, length, into) {
      largestRead = Math.max(largestRead, length)
      const bytes = (into ?? new Uint8Array(length)).subarray(0, Math.max(0, Math.min(length, size - offset)))
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset)
      return bytes.subarray(0, bytesRead)
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/** Writes the disk of an image into a new file of holes, by our own reader. */
export async function readInto(format: ReadableFormat, image: string, target: string): Promise<number> {
  await using reader = await openReader(image)
  await using disk = await openDisk(reader, format)
  await copyInto(target, disk)
  assert(reader.largestRead <= 4 * 1024 ** 2)
  return disk.size
}

/** Writes a disk, in its order, into a new file of holes. */
export async function copyInto(target: string, disk: Disk): Promise<void> {
  await using handle = await open(target, 'w')
  let next = 0
  const inOrder = (offset: number, length: number): void => {
    if (offset !== next || length < 1) throw new Error(`${length} bytes at ${offset} come after ${next}`)
    next += length
  }
  await disk.copyTo({
    data: async (offset, bytes) => {
      inOrder(offset, bytes.length)
      await handle.write(bytes, 0, bytes.length, offset)
    },
    zero: inOrder,
  })
  assert.equal(next, disk.size)
  await handle.truncate(disk.size)
}

/** Whether qemu-img reads an image; where it does, its disk is in `target`. */
export async function convertToRaw(format: string, image: string, target: string): Promise<boolean> {
  try {
    // What a VHD's geometry comes to is not its size.
    const options = `driver=vpc,file.filename=${image},force_size_calc=current_size`
    const source = format === 'vpc' ? ['--image-opts', options] : ['-f', format, image]
    await tool('qemu-img', 'convert', '-O', 'raw', ...source, target)
    return true
  } catch (error) {
    // It ends with 1, or with a failed assertion.
    const { code, signal } = error as { readonly code?: unknown; readonly signal?: unknown }
    if (code !== 1 && signal !== 'SIGABRT') throw error
    return false
  }
}

/** A disk with data at random places, some of it repeating and some of it zero. @returns them, in order */
export async function makeDisk(
  random: Random,
  file: string,
  sizeBytes: number,
): Promise<{ readonly offset: number; readonly length: number }[]> {
  const parts: { readonly offset: number; readonly length: number }[] = []
  const handle = await open(file, 'w')
  try {
    await handle.truncate(sizeBytes)
    for (let count = random.below(12) + 1; count > 0; count -= 1) {
      const offset = random.below(sizeBytes)
      const data = Buffer.alloc(Math.min(sizeBytes - offset, 1 + random.below(300_000)))
      const step = random.pick([0, 1, 64, 4096])
      for (let at = 0; at < data.length; at += 1) {
        data[at] = step === 0 ? 0 : step === 1 ? random.below(256) : Math.floor(at / step)
      }
      await handle.write(data, 0, data.length, offset)
      parts.push({ offset, length: data.length })
    }
  } finally {
    await handle.close()
  }
  return parts.sort((one, other) => one.offset - other.offset)
}
