import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { ImageMetadata, ImageService } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'
import { createDirectoryImageService } from '../../src/directory/index.ts'

const run = promisify(execFile)

/** Runs a real tool. A missing one fails with the command that installs it. */
export async function tool(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(requireTool(name), args, { maxBuffer: 64 * 1024 * 1024 })
  return stdout
}

/** A folder of a test's own, with a store of images and a folder for temporary files in it. */
export interface Workspace extends AsyncDisposable {
  readonly directory: string
  readonly conversionDir: string
  readonly store: ImageService
  file(name: string): string
  /** Puts a file into the store and returns the image's id. */
  add(file: string, metadata: ImageMetadata): Promise<string>
  /** What is left in the folder for temporary files. */
  leftovers(): Promise<string[]>
}

export async function createWorkspace(): Promise<Workspace> {
  const directory = await mkdtemp(path.join(tmpdir(), 'image-utils-test-'))
  const store = createDirectoryImageService({ directory: path.join(directory, 'store') })
  const conversionDir = path.join(directory, 'conversion')
  return {
    directory,
    conversionDir,
    store,
    file: (name) => path.join(directory, name),
    add: async (file, metadata) => {
      const { id } = await store.create({}, metadata, { data: { open: () => readChunks(file) } })
      return id
    },
    leftovers: () => readdir(conversionDir).catch(() => []),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  const handle = await open(file)
  try {
    for await (const chunk of handle.createReadStream({ highWaterMark: 1024 * 1024 })) yield chunk as Buffer
  } finally {
    await handle.close().catch(() => undefined)
  }
}

/** A sparse raw disk: random data at a few places, holes between them. */
export async function makeRawDisk(file: string, sizeBytes: number): Promise<void> {
  const handle = await open(file, 'w')
  try {
    await handle.truncate(sizeBytes)
    // An MBR signature, as a real disk has one, and data at the start, across a MiB, and at the very end.
    const start = randomBytes(256 * 1024)
    start.fill(0, 0, 446)
    start.fill(0, 446, 510)
    start.writeUInt16LE(0xaa55, 510)
    await handle.write(start, 0, start.length, 0)
    for (const offset of [1024 * 1024 - 5000, Math.floor(sizeBytes / 2), sizeBytes - 70_000]) {
      const data = randomBytes(70_000)
      await handle.write(data, 0, Math.min(data.length, sizeBytes - offset), Math.max(offset, 256 * 1024))
    }
    await handle.truncate(sizeBytes)
  } finally {
    await handle.close()
  }
}

/** A raw disk without a hole, of bytes that no compression makes smaller. */
export async function makeFullDisk(file: string, sizeBytes: number): Promise<void> {
  const bytes = randomBytes(sizeBytes)
  bytes.fill(0, 0, 510)
  bytes.writeUInt16LE(0xaa55, 510)
  await writeFile(file, bytes)
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of readChunks(file)) hash.update(chunk)
  return hash.digest('hex')
}

/** A qcow2 that names a file of the host as its backing file. */
export async function makeBackedQcow2(file: string, backing: string): Promise<void> {
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', backing, file, '1M')
}

/** A text descriptor of a VMDK whose extent is a file of the host. */
export async function makeFlatDescriptor(file: string, extent: string): Promise<void> {
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=fffffffe',
    'parentCID=ffffffff',
    'createType="monolithicFlat"',
    `RW 1 FLAT "${extent}" 0`,
    '',
  ]
  await writeFile(file, lines.join('\n'))
}

/** A loop device over a new file, filled with old data, which must never show through. */
export async function makeLoopDevice(
  backing: string,
  sizeBytes: number,
): Promise<{ readonly device: string; readonly detach: () => Promise<void> }> {
  const handle = await open(backing, 'w')
  try {
    const old = Buffer.alloc(1024 * 1024, 0xaa)
    for (let offset = 0; offset < sizeBytes; offset += old.length) {
      await handle.write(old, 0, Math.min(old.length, sizeBytes - offset), offset)
    }
  } finally {
    await handle.close()
  }
  const device = (await tool('losetup', '--find', '--show', backing)).trim()
  return {
    device,
    detach: async () => {
      await tool('losetup', '--detach', device)
    },
  }
}
