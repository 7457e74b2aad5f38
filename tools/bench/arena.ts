import { findTool, requireTool, startNginx, type RunningNginx } from '@disk-image/testing'
import { execa } from 'execa'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { openGlanceArena, type GlanceArena } from './glance-arena.ts'
import { imageSchema } from './image-schema.ts'
import { prepareImages, type BenchImages } from './images.ts'

const repository = path.resolve(import.meta.dirname, '../..')
/** What the benchmark keeps between its runs, and works in. */
export const cache: string = path.join(repository, '.cache/bench')

/** The images of one size, served like a Glance does, and a folder to write into. */
export interface Arena extends AsyncDisposable {
  readonly images: BenchImages
  readonly url: string
  /** The id of an image by its file. */
  idOf(file: string): string
  sha512Of(file: string): string
  /** Empty at the start. */
  readonly folder: string
  /** The words before a command line of ours. */
  readonly command: readonly string[]
  /** The same images in a real Glance, which is started when it is asked for first. */
  glance(): Promise<GlanceArena>
}

/** The command, built. */
export const commandFile: string = path.join(repository, 'packages/cli/bin/disk-image.js')

/**
 * Looks for what the contestants need.
 *
 * @returns by contestant, why it can't run and what mends that
 * @throws where even the floor can't run
 */
export async function findMissing(): Promise<Record<string, string | undefined>> {
  for (const tool of ['curl', 'openssl', 'nginx', 'qemu-img', 'mke2fs', 'cmp']) {
    requireTool(tool, tool === 'cmp' ? 'diffutils' : undefined)
  }
  const python = findTool('python3') === undefined ? undefined : '/usr/bin/python3'
  if (python === undefined) throw new Error('python3 is not installed: apt-get install -y python3')
  const original = await execa(python, ['-c', 'import cinder'], { reject: false })
  return {
    ours: existsSync(path.join(repository, 'packages/cli/dist/main.js'))
      ? undefined
      : 'not built: pnpm build',
    cinder: original.failed
      ? 'not installed: apt-get install -y --no-install-recommends python3-cinder'
      : undefined,
  }
}

/** Makes the images of one size and serves them. */
export async function openArena(sizeGiB: number): Promise<Arena> {
  const images = await prepareImages(path.join(cache, 'images'), sizeGiB)
  // Its own, so that two benchmarks at once don't take each other's files.
  const folder = await mkdtemp(path.join(cache, 'work-'))
  const files: readonly (readonly [file: string, diskFormat: string])[] = [
    [images.raw, 'raw'],
    [images.qcow2, 'qcow2'],
    [images.compressedQcow2, 'qcow2'],
  ]
  const nginx: RunningNginx = await startNginx({
    images: files.map(([file, diskFormat]) => ({ file, diskFormat })),
    imageSchema,
    parentDirectory: folder,
  })
  const served = (file: string): RunningNginx['images'][number] => {
    const image = nginx.images[files.findIndex(([name]) => name === file)]
    if (image === undefined) throw new Error(`${file} is not served`)
    return image
  }
  let glance: Promise<GlanceArena> | undefined
  const arena: Arena = {
    images,
    folder,
    url: nginx.url,
    command: [process.execPath, commandFile],
    idOf: (file) => served(file).id,
    sha512Of: (file) => served(file).sha512,
    glance: () => (glance ??= openGlanceArena(arena)),
    [Symbol.asyncDispose]: async () => {
      await (await glance)?.stop()
      await nginx.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return arena
}
