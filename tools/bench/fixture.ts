import { startGlance, startNginx, type RunningNginx } from '@disk-image/testing'
import { execa, execaSync } from 'execa'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, link, lstat, mkdir, mkdtemp, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { openLink, type LinkOptions } from './slow-link.ts'

/** Whole MiB, so that a device can have that size. */
const bytesOf = (sizeGiB: number): number => Math.round(sizeGiB * 1024) * 1024 ** 2
export const repository: string = path.resolve(import.meta.dirname, '../..')
const cache = path.join(repository, '.cache/bench')

/** Images of one size, in the formats that are measured. */
export interface Images {
  readonly sizeGiB: number
  readonly raw: string
  readonly qcow2: string
  readonly compressedQcow2: string
}

/** Where an image service is, and what it calls an image. */
export interface Service {
  readonly url: string
  idOf(file: string): string
}

/** A service that takes images. */
export interface Store extends Service {
  /** An image without data. */
  createImage(): Promise<string>
  /** The file in which an image's data ends. */
  storedAt(id: string): string
}

/** What the jobs of one size work with. */
export interface Fixture extends AsyncDisposable {
  readonly images: Images
  /** nginx, which serves the images as a Glance does and is no bottleneck. */
  readonly nginx: Service
  /** The same file as several images, whose ids are told. */
  copies(file: string, count: number): Promise<{ readonly url: string; readonly ids: readonly string[] }>
  sha512Of(file: string): string
  /** Empty at the start. */
  readonly folder: string
  /** The same images in a real Glance, which is started when it is asked for first. */
  glance(): Promise<Store>
  /** nginx, which takes what is sent. */
  receiver(): Promise<Store>
  /** The images behind a link of some delay, rate and reliability. */
  link(options: Omit<LinkOptions, 'port'>): Promise<Service>
  /** A block device of the images' size that holds old data everywhere as soon as `dirty` is called. */
  device(): Promise<{ readonly device: string; dirty(): Promise<void> }>
}

/** The properties that every image has. Cinder's client takes all others for the user's own. */
const properties =
  'id name status visibility protected os_hidden checksum os_hash_algo os_hash_value owner size virtual_size container_format disk_format created_at updated_at tags direct_url min_ram min_disk self file stores schema locations'
const imageSchema = {
  name: 'image',
  properties: Object.fromEntries(properties.split(' ').map((name) => [name, {}])),
  additionalProperties: { type: 'string' },
}

/** Programs, libraries and data of any machine. */
const sources = ['lib', 'share', 'bin', 'sbin', 'include'].map((name) => `/usr/${name}`)

/** Regular files under folders, in the order of their names. */
async function* walk(folders: readonly string[]): AsyncGenerator<string> {
  for (const folder of folders) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = path.join(folder, entry.name)
      if (entry.isDirectory()) yield* walk([file])
      else if (entry.isFile()) yield file
    }
  }
}

/** Puts about so many bytes of real files into a folder; from the start again where the machine has fewer. */
async function stageFiles(folder: string, wantedBytes: number): Promise<void> {
  let bytes = 0
  for (let copy = 0; bytes < wantedBytes; copy += 1) {
    const before = bytes
    for await (const file of walk(sources)) {
      if (bytes >= wantedBytes) return
      const target = path.join(folder, `copy-${copy}`, file)
      try {
        const { size } = await lstat(file)
        // Some programs are larger than a small disk.
        if (bytes + size > wantedBytes * 1.5) continue
        await mkdir(path.dirname(target), { recursive: true })
        await link(file, target).catch(() => cp(file, target))
        bytes += size
      } catch {
        // Unreadable: another file does as well.
      }
    }
    if (bytes === before) throw new Error('no readable file under /usr')
  }
}

/** Makes a file under another name first, so that what has its name is whole. */
async function make(file: string, produce: (temporary: string) => Promise<unknown>): Promise<void> {
  if (existsSync(file)) return
  await rm(`${file}.part`, { force: true })
  await produce(`${file}.part`)
  await rename(`${file}.part`, file)
}

/** Makes the images of one size, or finds those of an earlier run: an ext4 with files in a quarter of it. */
async function prepareImages(sizeGiB: number): Promise<Images> {
  const folder = path.join(cache, 'images')
  const name = path.join(folder, `disk-${sizeGiB}GiB`)
  const [raw, qcow2, compressedQcow2] = [`${name}.raw`, `${name}.qcow2`, `${name}-compressed.qcow2`] as const
  await make(raw, async (file) => {
    const tree = path.join(folder, `tree-${sizeGiB}`)
    await rm(tree, { recursive: true, force: true })
    await mkdir(tree, { recursive: true })
    try {
      await stageFiles(tree, bytesOf(sizeGiB) * 0.27)
      await writeFile(file, '')
      await truncate(file, bytesOf(sizeGiB))
      await execa('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, file], {
        env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
      })
    } finally {
      await rm(tree, { recursive: true, force: true })
    }
  })
  const convert = (file: string, ...words: string[]): Promise<unknown> =>
    execa('qemu-img', ['convert', ...words, '-f', 'raw', '-O', 'qcow2', raw, file])
  await make(qcow2, (file) => convert(file))
  await make(compressedQcow2, (file) => convert(file, '-c'))
  return { sizeGiB, raw, qcow2, compressedQcow2 }
}

/** Starts a Glance and puts the raw and the qcow2 image into it. */
async function openGlance(images: Images, toClose: AsyncDisposableStack): Promise<Store> {
  const glance = toClose.adopt(await startGlance(), (running) => running.stop())
  const ids = new Map<string, string>()
  const create = async (diskFormat: string): Promise<string> => {
    const response = await fetch(`${glance.url}/v2/images`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'bench', disk_format: diskFormat, container_format: 'bare' }),
    })
    return ((await response.json()) as { id: string }).id
  }
  for (const [file, diskFormat] of [
    [images.raw, 'raw'],
    [images.qcow2, 'qcow2'],
  ] as const) {
    const id = await create(diskFormat)
    ids.set(file, id)
    const type = 'Content-Type: application/octet-stream'
    await execa('curl', ['-sSf', '-H', type, '-T', file, `${glance.url}/v2/images/${id}/file`])
  }
  return {
    url: glance.url,
    idOf: (file) => ids.get(file) ?? '',
    createImage: () => create('raw'),
    storedAt: (id) => path.join(glance.directory, 'glance/images', id),
  }
}

/** An nginx that takes data into a file; the record beside it is active as soon as that is there. */
async function openReceiver(parentDirectory: string, toClose: AsyncDisposableStack): Promise<Store> {
  const nginx = toClose.use(await startNginx({ images: [], uploads: true, imageSchema, parentDirectory }))
  const folderOf = (id: string): string => path.join(nginx.directory, 'root/v2/images', id)
  return {
    url: nginx.url,
    idOf: () => '',
    storedAt: (id) => path.join(folderOf(id), 'file'),
    createImage: async () => {
      await rm(folderOf(''), { recursive: true, force: true })
      const id = randomUUID()
      const record = {
        id,
        disk_format: 'raw',
        container_format: 'bare',
        visibility: 'private',
        tags: [],
        size: null,
      }
      await mkdir(folderOf(id), { recursive: true })
      for (const [file, status] of [
        ['index', 'queued'],
        ['stored', 'active'],
      ] as const) {
        await writeFile(path.join(folderOf(id), `${file}.json`), JSON.stringify({ ...record, status }))
      }
      return id
    },
  }
}

async function openDevice(
  backing: string,
  bytes: number,
  toClose: AsyncDisposableStack,
): Promise<Awaited<ReturnType<Fixture['device']>>> {
  await writeFile(backing, '')
  await truncate(backing, bytes)
  const { stdout: device } = await execa('losetup', ['--find', '--show', backing])
  const detach = (): void => void execaSync('losetup', ['--detach', device], { reject: false })
  process.once('exit', detach)
  toClose.defer(() => void process.removeListener('exit', detach))
  toClose.defer(detach)
  const fill = `head -c ${bytes} /dev/zero | tr '\\0' '\\245' | dd of=${device} bs=4M iflag=fullblock status=none`
  return { device, dirty: async () => void (await execa('bash', ['-c', fill])) }
}

/** Makes the images of one size and serves them. */
export async function openFixture(sizeGiB: number): Promise<Fixture> {
  const images = await prepareImages(sizeGiB)
  await using stack = new AsyncDisposableStack()
  // Its own, so that two benchmarks at once don't take each other's files.
  const folder = stack.adopt(await mkdtemp(path.join(cache, 'work-')), (made) =>
    rm(made, { recursive: true, force: true }),
  )
  const files = [images.raw, images.qcow2, images.compressedQcow2]
  const nginx: RunningNginx = stack.use(
    await startNginx({
      images: files.map((file) => ({ file, diskFormat: file === images.raw ? 'raw' : 'qcow2' })),
      imageSchema,
      parentDirectory: folder,
    }),
  )
  const served = (file: string): RunningNginx['images'][number] => {
    const image = nginx.images[files.indexOf(file)]
    if (image === undefined) throw new Error(`${file} is not served`)
    return image
  }
  const idOf = (file: string): string => served(file).id
  const toClose = stack.move()
  let glance: Promise<Store> | undefined
  return {
    images,
    folder,
    nginx: { url: nginx.url, idOf },
    copies: async (file, count) => {
      const image = { file, diskFormat: file === images.raw ? 'raw' : 'qcow2', sha512: served(file).sha512 }
      const running = await startNginx({
        images: Array.from({ length: count }, () => image),
        parentDirectory: folder,
      })
      toClose.use(running)
      return { url: running.url, ids: running.images.map(({ id }) => id) }
    },
    sha512Of: (file) => served(file).sha512,
    glance: () => (glance ??= openGlance(images, toClose)),
    receiver: () => openReceiver(folder, toClose),
    link: async (options) => {
      const opened = await openLink({ ...options, port: Number(new URL(nginx.url).port) })
      toClose.defer(() => opened.close())
      return { url: `http://127.0.0.1:${opened.port}`, idOf }
    },
    device: () => openDevice(path.join(folder, 'device.img'), bytesOf(sizeGiB), toClose),
    [Symbol.asyncDispose]: () => toClose.disposeAsync(),
  }
}
