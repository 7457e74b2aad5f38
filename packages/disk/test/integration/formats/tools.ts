import { execFile } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import type { Random } from '../../random.ts'

export { copyInto, openReader, readInto } from './copy-disk.ts'

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
