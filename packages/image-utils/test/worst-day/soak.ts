/**
 * Transfers of mixed formats, from and to mixed places, in one process, with cuts, wrong digests, spoiled bytes and
 * cancels. What ends well must be right, what doesn't must say so with a code; and the memory must stay flat, and no
 * handle, thread, child or file may be more at the end than at the start.
 *
 * This is `pnpm fuzz soak`, for 2,000 of them `pnpm fuzz soak --transfers 2000 --minutes 30`.
 */
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Checksum, DiskFormat, ImageService } from '@disk-image/core'
import {
  createDirectoryImageService,
  createGlanceImageService,
  createImageUtils,
  ImageError,
  machineOfProperties,
  parseDiskFormat,
} from '../../src/index.ts'
import { seededRandom, settle, takeCensus } from '@disk-image/testing'
import type { Entry, Trouble } from './image-server.ts'
import { diskBytes, makeImages, type MadeImage } from './images.ts'

/* oxlint-disable no-console -- a script whose output is its result */
const { values } = parseArgs({
  options: { seed: { type: 'string' }, seconds: { type: 'string' }, transfers: { type: 'string' } },
  strict: false,
})
const seed = Number(values.seed ?? 1)
const transfers = Number(values.transfers ?? 100_000)
const mostMs = Number(values.seconds ?? 60) * 1000
const MiB = 1024 * 1024
const diskSize = 3 * MiB
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
// A warning of a leaked listener is a leak.
const warnings: string[] = []
process.on('warning', (warning) => warnings.push(String(warning)))
process.on('unhandledRejection', (error) => warnings.push(`unhandled: ${String(error)}`))

const folder = await mkdtemp(path.join(tmpdir(), 'soak-'))
const inFolder = (name: string): string => path.join(folder, name)
const disk = diskBytes(diskSize, seed)
await writeFile(inFolder('disk.raw'), disk)
const images = await makeImages(folder, inFolder('disk.raw'))
const conversionDir = inFolder('conversion')
for (const name of ['store', 'volumes', 'served']) await mkdir(inFolder(name))

const server = fork(fileURLToPath(new URL('image-server.ts', import.meta.url)), [inFolder('served')])
const [port] = (await once(server, 'message')) as [number]
const address = `http://127.0.0.1:${port}`
const glance = createGlanceImageService({ endpoint: address, retryDelayMs: 1, retries: 2 })
const store = createDirectoryImageService({ directory: inFolder('store') })
const imageUtils = createImageUtils(
  {
    network: {
      url: { allow: { privateAddresses: true }, retryDelayMs: 1, maximumRetryDelayMs: 2, retries: 2 },
    },
  },
  { imageConversionDir: conversionDir, allowCompressionOnImageUpload: true },
)
const kept: Record<string, string> = {}
for (const [name, image] of Object.entries(images)) {
  const { file, ...metadata } = image
  const bytes = readFileSync(file)
  const source = {
    size: bytes.length,
    open: async function* () {
      yield bytes
    },
  }
  kept[name] = (await store.create({}, { name, ...metadata }, { data: source })).id
}

async function serve(entry: Entry): Promise<void> {
  server.send(entry)
  await once(server, 'message')
}

let next = seededRandom(seed)
const below = (limit: number): number => Math.floor(next() * limit)
const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)] as Item
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

interface Transfer {
  readonly signal: AbortSignal | undefined
  readonly onProgress: () => void
  /** The digest that it must not end well with. */
  readonly checksums: readonly Checksum[] | undefined
}

function troubleOf(bytes: number): Trouble | undefined {
  const kind = next()
  if (kind < 0.2) return { cutAfter: below(bytes), cuts: 1 + below(2) }
  if (kind < 0.3) return { cutAfter: below(bytes), cuts: 1000 }
  return kind < 0.4 ? { spoiledAt: below(bytes) } : undefined
}

/** An image as a record of the image service that serves it. */
function recordOf(id: string, { disk_format, container_format }: MadeImage, bytes: Buffer) {
  const os_hash_value = createHash('sha512').update(bytes).digest('hex')
  const base = { id, name: id, status: 'active', disk_format, container_format, visibility: 'public' }
  return { ...base, size: bytes.length, os_hash_algo: 'sha512', os_hash_value }
}

async function fetch(index: number, { signal, onProgress, checksums }: Transfer): Promise<void> {
  const [name, image] = pick(Object.entries(images))
  const volumeFormat = pick([
    'raw',
    'raw',
    'raw',
    'qcow2',
    'vmdk',
    'vhd',
    'vhdx',
    'vdi',
    'parallels',
  ] as const)
  const volume = inFolder(`volumes/${next() < 0.5 ? index : 'again'}`)
  const bytes = readFileSync(image.file)
  const call = { volume, volumeFormat, signal, onProgress, checksums, durable: false }
  const from = pick(['store', 'glance', 'url'])
  const trouble = troubleOf(bytes.length)
  const entry = { name: `${from}-${index}`, file: image.file, ...(trouble && { trouble }) }
  if (from === 'store') {
    await imageUtils.imageToVolume({ ...call, imageId: kept[name] ?? '', imageService: store })
  } else if (from === 'glance') {
    await serve({ ...entry, record: recordOf(entry.name, image, bytes) })
    await imageUtils.imageToVolume({ ...call, imageId: entry.name, imageService: glance })
  } else {
    await serve(entry)
    const opened = await imageUtils.openSource(`${address}/${entry.name}`, { signal })
    try {
      const { disk_format: diskFormat, container_format: containerFormat } = image
      const right = [{ algorithm: 'sha256', value: sha256(bytes) }]
      const source = { stored: opened.stored, diskFormat, containerFormat }
      await imageUtils.imageToVolume({ ...call, source, checksums: checksums ?? right })
    } finally {
      await opened.close()
    }
  }
  await isRight(volume, volumeFormat)
  if (path.basename(volume) !== 'again') await rm(volume)
}

async function isRight(file: string, format: DiskFormat): Promise<void> {
  let raw = file
  if (format !== 'raw') {
    raw = inFolder('volumes/read-back')
    await imageUtils.convertImage(file, raw, 'raw', { srcFormat: format, runAsRoot: false })
  }
  const bytes = await readFile(raw)
  const isSame = bytes.subarray(0, disk.length).equals(disk)
  if (!isSame || bytes.subarray(disk.length).some((byte) => byte !== 0)) throw new Error(`WRONG ${format}`)
  if (raw !== file) await rm(raw)
}

async function upload(index: number, { signal, onProgress }: Transfer): Promise<void> {
  const toGlance = next() < 0.5
  const imageService: ImageService = toGlance ? glance : store
  const [volumeFormat, volume] = pick([
    ['raw', inFolder('disk.raw')],
    ['qcow2', images['qcow2']?.file ?? ''],
    ['vmdk', images['vmdk']?.file ?? ''],
  ] as const)
  const disk_format = pick(['raw', 'qcow2', 'vhd', 'vmdk', 'vhdx', 'vdi'] as const)
  const made = await imageService.create({}, { name: `${index}`, disk_format, container_format: 'bare' })
  try {
    const trouble = troubleOf(2 * MiB)
    if (toGlance)
      await serve({ name: made.id, record: { ...made, properties: undefined }, ...(trouble && { trouble }) })
    const compression = pick(['none', 'zlib', 'zstd'] as const)
    await imageUtils.volumeToImage({
      image: { ...made, disk_format },
      volume,
      volumeFormat,
      imageService,
      signal,
      onProgress,
      compression,
    })
    if (toGlance) await isRight(inFolder(`served/${made.id}`), disk_format)
    else await isRight(inFolder(`store/${made.id}.data`), disk_format)
  } finally {
    await imageService.delete({}, made.id)
    await rm(inFolder(`served/${made.id}`), { force: true })
  }
}

async function convert(index: number, { signal, onProgress }: Transfer): Promise<void> {
  const [, image] = pick(Object.entries(images).filter(([, { container_format: outer }]) => outer === 'bare'))
  const format = pick(['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'parallels'] as const)
  const to = inFolder(`volumes/${index}`)
  try {
    await imageUtils.convertImage(image.file, to, format, {
      srcFormat: parseDiskFormat(image.disk_format, 'read'),
      runAsRoot: false,
      signal,
      onProgress,
      compress: next() < 0.3,
    })
    await isRight(to, format)
  } finally {
    await rm(to, { force: true })
  }
}

async function archive(index: number, { signal, onProgress }: Transfer): Promise<void> {
  const destination = inFolder(`volumes/${index}.ova`)
  const volume = inFolder('disk.raw')
  try {
    await imageUtils.volumesToArchive({
      disks: [{ volume, volumeFormat: 'raw' }],
      machine: machineOfProperties('machine', {}),
      destination,
      signal,
      onProgress,
    })
  } finally {
    await rm(destination, { force: true })
  }
}

async function copy(index: number, { signal, onProgress, checksums }: Transfer): Promise<void> {
  const [, image] = pick(Object.entries(images).filter(([, { container_format: outer }]) => outer !== 'ova'))
  const bytes = readFileSync(image.file)
  const { disk_format, container_format } = image
  const made = await store.create({}, { name: `${index}`, disk_format, container_format })
  try {
    const trouble = troubleOf(bytes.length)
    await serve({ name: `copy-${index}`, file: image.file, ...(trouble && { trouble }) })
    const right = [{ algorithm: 'sha256', value: sha256(bytes) }]
    await imageUtils.sourceToImage({
      source: `${address}/copy-${index}`,
      image: made,
      imageService: store,
      checksums: checksums ?? right,
      diskFormat: disk_format,
      containerFormat: container_format,
      signal,
      onProgress,
    })
    if (!readFileSync(inFolder(`store/${made.id}.data`)).equals(bytes)) throw new Error('WRONG copy')
  } finally {
    await store.delete({}, made.id)
  }
}

const verbs = { fetch, upload, convert, archive, copy }
const outcomes: Record<string, number> = {}
const cancelled = new Error('cancelled')

async function transfer(index: number): Promise<string> {
  next = seededRandom(seed * 100_003 + index)
  const verb = pick([
    'fetch',
    'fetch',
    'fetch',
    'fetch',
    'upload',
    'upload',
    'convert',
    'archive',
    'copy',
  ] as const)
  const wrong = next() < 0.1 ? [{ algorithm: 'sha256', value: '0'.repeat(64) }] : undefined
  const controller = new AbortController()
  let steps = next() < 0.15 ? below(6) : Infinity
  const timer = next() < 0.15 ? setTimeout(() => controller.abort(cancelled), below(60)) : undefined
  const onProgress = (): void => {
    steps -= 1
    if (steps < 0) controller.abort(cancelled)
  }
  try {
    await verbs[verb](index, { signal: controller.signal, onProgress, checksums: wrong })
    const mayEndWell = wrong === undefined || verb !== 'fetch'
    return mayEndWell ? `${verb} right` : `${verb}: WRONG digest was accepted`
  } catch (error) {
    if (error === cancelled) return `${verb} cancelled`
    return ImageError.is(error)
      ? `${verb} ${error.code}`
      : `${verb}: WITHOUT A CODE ${String((error as Error).stack)}`
  } finally {
    clearTimeout(timer)
  }
}

interface Memory {
  readonly rss: number
  readonly external: number
  readonly heap: number
}

/** In MiB, once nothing waits any more: what is kept for the next transfer goes after two seconds. */
async function measure(): Promise<Memory> {
  for (let round = 0; round < 3; round += 1) {
    collect()
    await delay(10)
  }
  const { rss, external, heapUsed } = process.memoryUsage()
  return { rss: rss / MiB, external: external / MiB, heap: heapUsed / MiB }
}

const watched = ['conversion', 'volumes', 'store', 'served'].map(inFolder)
const before = takeCensus(watched)
const samples: Memory[] = []
const began = performance.now()
let index = 0
for (; index < transfers && (index === 0 || performance.now() - began < mostMs); index += 1) {
  const outcome = await transfer(index)
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  if (/WRONG|WITHOUT/.test(outcome)) {
    process.exitCode = 1
    console.error(`transfer ${index} of seed ${seed}: ${outcome}`)
    process.send?.({ failed: `--seed ${seed} --transfers ${index + 1}` })
  }
  if (index % 25 === 24) samples.push(await measure())
}
await rm(inFolder('volumes/again'), { force: true })
await glance.close()
const left = [...(await settle(before, watched)), ...warnings]

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
/** What is loaded, and what lasts as long as the process, is there after a few of each. */
samples.splice(0, samples.length >> 2)
const third = Math.ceil(samples.length / 3)
/** Of the first third and the last, so that one moment tells nothing. */
const trend = (kind: keyof Memory): readonly [number, number] => [
  median(samples.slice(0, third).map((sample) => sample[kind])),
  median(samples.slice(-third).map((sample) => sample[kind])),
]
/** MiB that the last third may have more: what the allocator and the garbage collector don't give back. */
const most = { rss: 40, external: 4, heap: 6 }
const counts: Record<string, number> = {
  transfers: index,
  ...outcomes,
}
for (const kind of ['rss', 'external', 'heap'] as const) {
  const [first, last] = trend(kind)
  counts[`${kind} MiB before`] = Math.round(first)
  counts[`${kind} MiB after`] = Math.round(last)
  if (last - first > most[kind]) left.push(`${kind} grew`)
}
if (left.length > 0) {
  process.exitCode = 1
  console.error(`left over: ${left.join('; ')}`)
}
console.log(JSON.stringify(counts))
server.disconnect()
await rm(folder, { recursive: true })
process.disconnect?.()
