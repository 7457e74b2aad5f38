import { execFile } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { createInspector, inspect, type InspectionResult } from '@disk-image/format-policy/inspector'

const execute = promisify(execFile)

/** What a command printed. */
export interface Output {
  readonly stdout: string
  readonly stderr: string
}

/** Debian's packages of the tools that make the images of these tests. */
const packages: Readonly<Record<string, string>> = {
  '7zz': '7zip',
  cryptsetup: 'cryptsetup-bin',
  genisoimage: 'genisoimage',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.cramfs': 'util-linux',
  'mkfs.erofs': 'erofs-utils',
  'mkfs.exfat': 'exfatprogs',
  'mkfs.f2fs': 'f2fs-tools',
  'mkfs.fat': 'dosfstools',
  'mkfs.gfs2': 'gfs2-utils',
  'mkfs.jfs': 'jfsutils',
  'mkfs.minix': 'util-linux',
  'mkfs.nilfs2': 'nilfs-tools',
  'mkfs.ntfs': 'ntfs-3g',
  'mkfs.ocfs2': 'ocfs2-tools',
  'mkfs.reiserfs': 'reiserfsprogs',
  'mkfs.xfs': 'xfsprogs',
  mksquashfs: 'squashfs-tools',
  prlimit: 'util-linux',
  mkudffs: 'udftools',
  xz: 'xz-utils',
}

/** Runs a tool to its end; a non-zero end rejects. */
export async function run(tool: string, args: readonly string[], cwd?: string): Promise<Output> {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC', LD_PRELOAD: '' }
  const file = path.isAbsolute(tool) ? tool : requireTool(tool, packages[tool])
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await execute(file, [...args], { cwd, env, timeout: 120_000, maxBuffer: 2 ** 26 })
    } catch (error) {
      // qemu-img measures the processor for LUKS, and gives up where others keep it busy.
      if (attempt === 20 || !String(error).includes('accurate CPU usage')) throw error
    }
  }
}

/** A directory that is gone at the end of the scope. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-policy-'))
  return { path: directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) }
}

/** A file as the inspector reads it, and what it read. */
export class FileReader implements Disposable {
  readonly size: number
  bytesRead = 0
  readonly #file: number

  constructor(file: string) {
    this.#file = openSync(file, 'r')
    this.size = fstatSync(this.#file).size
  }

  readNow(offset: number, length: number, into?: Uint8Array): Uint8Array {
    const bytes = into ?? new Uint8Array(length)
    const count = readSync(this.#file, bytes, 0, length, offset)
    this.bytesRead += count
    return bytes.subarray(0, count)
  }

  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(this.readNow(offset, length, into))
  }

  [Symbol.dispose](): void {
    closeSync(this.#file)
  }
}

/** The verdict by random access. */
export async function inspectFile(file: string): Promise<InspectionResult> {
  using reader = new FileReader(file)
  return await inspect(reader)
}

/** The verdict by a stream of equal chunks. */
export function streamFile(file: string, chunkBytes: number): InspectionResult {
  using reader = new FileReader(file)
  const inspector = createInspector()
  for (let at = 0; at < reader.size; at += chunkBytes) inspector.write(reader.readNow(at, chunkBytes))
  return inspector.end()
}

/** The verdict on bytes in memory, by a stream cut at the given places. */
export function inspectBytes(bytes: Uint8Array, cuts: readonly number[] = []): InspectionResult {
  const inspector = createInspector()
  let from = 0
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    inspector.write(bytes.subarray(from, Math.max(from, cut)))
    from = Math.max(from, cut)
  }
  inspector.write(bytes.subarray(from))
  return inspector.end()
}

/** Names of the checks that failed. */
export function failed(result: InspectionResult): string[] {
  return result.checks.filter((check) => !check.ok).map((check) => check.name)
}
