import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'

const run = promisify(execFile)

/** Runs one of qemu's tools; a non-zero end rejects. */
export async function qemu(tool: 'qemu-img' | 'qemu-io', args: readonly string[]): Promise<string> {
  const { stdout } = await run(requireTool(tool), [...args], { timeout: 60_000, maxBuffer: 2 ** 24 })
  return stdout
}

/** Whether `qemu-img convert` takes a qcow2 file; where it does, the raw disk is in `destination`. */
export async function convertToRaw(source: string, destination: string): Promise<boolean> {
  try {
    await qemu('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', source, destination])
    return true
  } catch (error) {
    const { code } = error as { readonly code?: unknown }
    if (code !== 1) throw error
    return false
  }
}

/** A directory that is gone at the end of the scope. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
  return {
    path: directory,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
