import { execa } from 'execa'
import { existsSync } from 'node:fs'
import { cp, link, lstat, mkdir, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'

const GiB = 1024 ** 3

/** Share of a disk that holds files; the rest is free. */
const filled = 0.27

/** One disk with a file system in it, in the formats that are measured. */
export interface BenchImages {
  readonly sizeGiB: number
  readonly raw: string
  readonly qcow2: string
  readonly compressedQcow2: string
}

/** Where the files of the file systems come from: programs, libraries and data, as on any machine. */
const sources = ['/usr/lib', '/usr/share', '/usr/bin', '/usr/sbin', '/usr/include']

/** Regular files under a folder, in the order of their names. */
async function* walk(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) yield* walk(file)
    else if (entry.isFile()) yield file
  }
}

/** Puts about so many bytes of real files into a folder; from the start again where the machine has fewer. */
async function stageFiles(folder: string, wantedBytes: number): Promise<void> {
  let bytes = 0
  for (let copy = 0; bytes < wantedBytes; copy += 1) {
    const before = bytes
    for (const source of sources) {
      for await (const file of walk(source)) {
        if (bytes >= wantedBytes) return
        const target = path.join(folder, `copy-${copy}`, file)
        await mkdir(path.dirname(target), { recursive: true })
        try {
          await link(file, target).catch(() => cp(file, target))
          bytes += (await lstat(target)).size
        } catch {
          // Unreadable: another file does as well.
        }
      }
    }
    if (bytes === before) throw new Error('no readable file under /usr')
  }
}

/** Makes a file under another name first, so that what has its name is whole. */
async function make(file: string, produce: (temporary: string) => Promise<unknown>): Promise<void> {
  if (existsSync(file)) return
  const temporary = `${file}.part`
  await rm(temporary, { force: true })
  await produce(temporary)
  await rename(temporary, file)
}

async function makeRaw(folder: string, file: string, sizeGiB: number): Promise<void> {
  const tree = path.join(folder, `tree-${sizeGiB}`)
  await rm(tree, { recursive: true, force: true })
  await mkdir(tree, { recursive: true })
  try {
    await stageFiles(tree, sizeGiB * GiB * filled)
    await writeFile(file, '')
    await truncate(file, sizeGiB * GiB)
    await execa('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, file], {
      env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
    })
  } finally {
    await rm(tree, { recursive: true, force: true })
  }
}

/** Makes the images of one size, or finds those of an earlier run. */
export async function prepareImages(folder: string, sizeGiB: number): Promise<BenchImages> {
  await mkdir(folder, { recursive: true })
  const name = path.join(folder, `disk-${sizeGiB}GiB`)
  const images = {
    sizeGiB,
    raw: `${name}.raw`,
    qcow2: `${name}.qcow2`,
    compressedQcow2: `${name}-compressed.qcow2`,
  }
  await make(images.raw, (file) => makeRaw(folder, file, sizeGiB))
  await make(images.qcow2, (file) =>
    execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', images.raw, file]),
  )
  await make(images.compressedQcow2, (file) =>
    execa('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', images.raw, file]),
  )
  return images
}
