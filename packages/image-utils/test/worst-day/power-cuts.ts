import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { openDisk, type ReadableFormat } from '@disk-image/disk'
import { inspect } from '@disk-image/format-policy/inspector'
import { type CutSubject, type DiskState, recordChanges } from '@disk-image/testing'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils, type WritableDiskFormat } from '../../src/index.ts'
import { makeRawDisk, tool } from '../integration/support.ts'

const MiB = 1024 * 1024
const zeros = Buffer.alloc(512)

/** Where the subjects work, and what they work with. */
export interface Bench {
  readonly directory: string
  /** A raw disk, and the same in other formats. */
  readonly raw: string
  readonly content: Buffer
}

export async function makeBench(directory: string): Promise<Bench> {
  const raw = path.join(directory, 'disk.raw')
  await makeRawDisk(raw, 3 * MiB)
  return { directory, raw, content: readFileSync(raw) }
}

/** What makes a subject, by its name. */
export type MakeSubject = (bench: Bench) => Promise<CutSubject & AsyncDisposable>

/** What was there before: a file system with a boot sector before it, so that there are two signatures. */
async function makeOld(file: string, sizeBytes: number): Promise<Buffer> {
  writeFileSync(file, randomBytes(sizeBytes))
  await tool('mke2fs', '-q', '-F', '-t', 'ext4', file)
  const bytes = readFileSync(file)
  bytes.fill(0x90, 0, 440)
  bytes.writeUInt16LE(0xaa55, 510)
  writeFileSync(file, bytes)
  return bytes
}

/** Whether nothing is found in it, by us; and, of one in so many, by libblkid. */
async function foundIn(bytes: Buffer, bench: Bench, asksBlkid: boolean): Promise<string | undefined> {
  const reader = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  }
  const { format, contentName, matches } = await inspect(reader)
  if (format !== 'raw' || contentName !== undefined || matches.length > 0)
    return [format, ...matches].join(' ')
  if (!asksBlkid) return undefined
  const file = path.join(bench.directory, 'looked-at')
  writeFileSync(file, bytes)
  return (await tool('blkid', '-p', file).catch(() => '')) || undefined
}

const signatures = [0, 1, 2, 7, 8, 16, 32, 64, 128, 256, 512, 1024, 2048].map((sector) => sector * 512)

/**
 * Where a volume has several signatures, as a file system with a boot sector, not all come and go at once: it is whole
 * then, but for some of those sectors, of which the first has nothing.
 */
function isAllButSignatures(bytes: Buffer, whole: Buffer): boolean {
  if (bytes.length !== whole.length || !bytes.subarray(0, 512).equals(zeros)) return false
  let from = 0
  for (const place of [...signatures.filter((place) => place < bytes.length), bytes.length]) {
    if (bytes.compare(whole, from, place, from, place) !== 0) return false
    const isWithout = bytes.subarray(place, place + 512).equals(zeros)
    from = isWithout ? place + 512 : place
  }
  return true
}

/** The disk inside, where its format is one that is read here. */
async function guestOf(bytes: Buffer, format: string): Promise<Buffer | undefined> {
  const reader = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  }
  try {
    const disk = await openDisk(reader, format as ReadableFormat)
    const read = Buffer.alloc(disk.size)
    await disk.copyTo({ data: (offset, data) => read.set(data, offset), zero: () => undefined }, {})
    await disk.close()
    return read
  } catch {
    return undefined
  }
}

interface OntoOptions {
  readonly kind: 'new' | 'existing' | 'device'
  readonly format: string
  /** Whether two runs give the same bytes. */
  readonly isExact?: boolean
  readonly run: (volume: string, folder: string) => Promise<unknown>
}

/** An operation that puts a disk onto a volume. */
async function onto(
  bench: Bench,
  { kind, format, run, isExact = format === 'raw' }: OntoOptions,
): Promise<CutSubject & AsyncDisposable> {
  const work = mkdtempSync(path.join(bench.directory, 'onto-'))
  const folder = path.join(work, 'recorded')
  mkdirSync(folder)
  const file = path.join(folder, 'volume')
  const backing = path.join(work, 'backing')
  const old = kind === 'new' ? undefined : await makeOld(kind === 'device' ? backing : file, 7 * MiB)
  const volume = kind === 'device' ? (await tool('losetup', '--find', '--show', backing)).trim() : file
  const within = kind === 'device' ? [volume] : [folder]
  const recording = await recordChanges(within, () => run(volume, folder))
  const whole = Buffer.from(recording.killed().read(volume)!)
  const problemOf = async (bytes: Buffer): Promise<string | undefined> => {
    if (bytes.equals(whole)) return undefined
    if (format === 'ova')
      return bytes.subarray(0, 12).toString() === 'machine.ovf\0' ? undefined : 'no OVA is there'
    // Each time it is encrypted otherwise.
    if (format === 'luks')
      return (await foundIn(bytes, bench, false)) === 'luks luks' && bytes.length === whole.length
        ? undefined
        : 'no LUKS is there'
    const guest = format === 'raw' ? undefined : await guestOf(bytes, format)
    return guest?.equals(bench.content) === true ? undefined : 'something else is there'
  }
  return {
    recording,
    async judge(state, isDone, random) {
      const bytes = state.read(volume)
      if (isDone) return bytes?.equals(whole) === true ? undefined : 'it is not there although it was done'
      if (bytes === undefined) return old === undefined ? undefined : 'what was there is gone'
      if (bytes.equals(whole) || old?.equals(bytes) === true) return undefined
      if (isAllButSignatures(bytes, whole) || (old !== undefined && isAllButSignatures(bytes, old)))
        return undefined
      const found = await foundIn(bytes, bench, random() < 0.02)
      if (found === undefined) return undefined
      // Everything that a guest reads may be there before the file's last byte is.
      return (await problemOf(bytes)) && `${found} is there`
    },
    async again(state) {
      if (kind === 'device') {
        await using device = await open(volume, 'r+')
        await device.write(state.read(volume)!, 0, old!.length, 0)
        await run(volume, work)
        const bytes = readFileSync(volume)
        return isExact && !bytes.equals(whole) ? 'it is wrong' : undefined
      }
      const copy = mkdtempSync(path.join(work, 'again-'))
      state.writeTo(folder, copy)
      dieIn(copy)
      await run(path.join(copy, 'volume'), copy)
      const bytes = readFileSync(path.join(copy, 'volume'))
      const left = readdirSync(copy).filter((name) => name !== 'volume')
      rmSync(copy, { recursive: true })
      if (left.length > 0) return `${left.join(', ')} is left`
      return isExact && !bytes.equals(whole) ? 'it is wrong' : problemOf(bytes)
    },
    async [Symbol.asyncDispose]() {
      if (kind === 'device') await tool('losetup', '--detach', volume)
      rmSync(work, { recursive: true, force: true })
    },
  }
}

/** Has temporary files belong to a process that is gone. */
function dieIn(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const dead = entry.name.replace(`-${process.pid}-`, '-4194304-')
    if (dead !== entry.name) renameSync(path.join(folder, entry.name), path.join(folder, dead))
    if (entry.isDirectory()) dieIn(path.join(folder, entry.name))
  }
}

const kinds = ['new', 'existing', 'device'] as const

/** An image of a store onto a volume. */
function fetch(
  stored: string,
  kind: OntoOptions['kind'],
  volumeFormat: WritableDiskFormat = 'raw',
): MakeSubject {
  return async (bench) => {
    const store = createDirectoryImageService({ directory: path.join(bench.directory, 'store') })
    const image = path.join(bench.directory, `image.${stored}`)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', stored, bench.raw, image)
    const data = readFileSync(image)
    const { id } = await store.create(
      {},
      { disk_format: stored, container_format: 'bare' },
      {
        data: {
          size: data.length,
          async *open() {
            for (let at = 0; at < data.length; at += MiB / 4) yield data.subarray(at, at + MiB / 4)
          },
        },
      },
    )
    const utils = createImageUtils(
      { imageService: store },
      { imageConversionDir: path.join(bench.directory, 'conversion') },
    )
    return onto(bench, {
      kind,
      format: volumeFormat,
      run: (volume) => utils.imageToVolume({ imageId: id, volume, volumeFormat }),
    })
  }
}

/** A raw disk into a file of another format. */
function convert(
  format: WritableDiskFormat,
  subformat: string | undefined,
  kind: OntoOptions['kind'],
): MakeSubject {
  return async (bench) => {
    const utils = createImageUtils({}, { imageConversionDir: path.join(bench.directory, 'conversion') })
    const passphraseFile = path.join(bench.directory, 'key')
    writeFileSync(passphraseFile, 'secret')
    return onto(bench, {
      kind,
      format: format === 'vhd' ? 'vpc' : format,
      isExact: ['qcow2', 'raw'].includes(format),
      run: (volume) =>
        utils.convertImage(bench.raw, volume, format, {
          srcFormat: 'raw',
          outSubformat: subformat,
          runAsRoot: false,
          ...(format === 'luks' ? { passphraseFile, keyDerivationMs: 10 } : {}),
        }),
    })
  }
}

const written = [
  ['raw', undefined],
  ['qcow2', undefined],
  ['vhd', 'dynamic'],
  ['vhd', 'fixed'],
  ['vhdx', undefined],
  ['vmdk', 'monolithicSparse'],
  ['vmdk', 'streamOptimized'],
  ['vdi', undefined],
  ['parallels', undefined],
  ['luks', undefined],
] as const

interface FolderOptions {
  readonly prepare?: (folder: string) => Promise<unknown>
  readonly run: (folder: string) => Promise<unknown>
  /** What is wrong with the files of a state, which are in that folder. */
  readonly judge: (folder: string, isDone: boolean) => Promise<string | undefined>
  readonly again?: (folder: string) => Promise<string | undefined>
}

/** An operation in a folder, whose states are put into another one and looked at there. */
function inFolder({ prepare, run, judge, again }: FolderOptions): MakeSubject {
  return async (bench) => {
    const work = mkdtempSync(path.join(bench.directory, 'folder-'))
    const folder = path.join(work, 'recorded')
    mkdirSync(folder)
    await prepare?.(folder)
    const recording = await recordChanges([folder], () => run(folder))
    const lookAt = async (
      state: DiskState,
      look: (place: string) => Promise<string | undefined>,
    ): Promise<string | undefined> => {
      const place = mkdtempSync(path.join(work, 'state-'))
      state.writeTo(folder, place)
      dieIn(place)
      const problem = await look(place)
      rmSync(place, { recursive: true })
      return problem
    }
    return {
      recording,
      judge: (state, isDone) => lookAt(state, (place) => judge(place, isDone)),
      ...(again === undefined ? {} : { again: (state) => lookAt(state, again) }),
      async [Symbol.asyncDispose]() {
        rmSync(work, { recursive: true, force: true })
      },
    }
  }
}

const stored = randomBytes(300_000)
const image = { id: 'image', disk_format: 'raw', container_format: 'bare' }
const data = {
  size: stored.length,
  open: async function* open() {
    yield stored
  },
}

/** Whether an image of a store is whole where it has data. @returns its status, or what is wrong */
async function statusOf(folder: string): Promise<string> {
  const store = createDirectoryImageService({ directory: path.join(folder, 'store') })
  const found = await store.detail({})
  const [record] = found
  if (record === undefined)
    return existsSync(path.join(folder, 'store', 'image.json')) ? 'a record that is none' : 'none'
  if (record.status !== 'active') return String(record.status)
  const parts: Buffer[] = []
  await store.download(
    {},
    'image',
    { write: async (chunk) => void parts.push(Buffer.from(chunk)) },
    { verify: 'strict' },
  )
  return Buffer.concat(parts).equals(stored) ? 'active' : 'other data'
}

const inStore = (folder: string): ReturnType<typeof createDirectoryImageService> =>
  createDirectoryImageService({ directory: path.join(folder, 'store') })

async function storeAgain(folder: string): Promise<string | undefined> {
  const store = inStore(folder)
  await store.delete({}, 'image').catch(() => undefined)
  await store.create({}, image, { data })
  const status = await statusOf(folder)
  return status === 'active' ? undefined : `another run leaves ${status}`
}

const ofStore: Readonly<Record<string, MakeSubject>> = {
  'create in a store': inFolder({
    run: (folder) => inStore(folder).create({}, image, { data }),
    async judge(folder, isDone) {
      const status = await statusOf(folder)
      return (isDone ? ['active'] : ['none', 'queued', 'active']).includes(status) ? undefined : status
    },
    again: storeAgain,
  }),
  'delete in a store': inFolder({
    prepare: (folder) => inStore(folder).create({}, image, { data }),
    run: (folder) => inStore(folder).delete({}, 'image'),
    async judge(folder, isDone) {
      const status = await statusOf(folder)
      return (isDone ? ['none'] : ['none', 'active']).includes(status) ? undefined : status
    },
    again: storeAgain,
  }),
  'update in a store': inFolder({
    prepare: (folder) => inStore(folder).create({}, image, { data }),
    run: (folder) => inStore(folder).update({}, 'image', { name: 'other' }),
    judge: async (folder) => {
      const status = await statusOf(folder)
      return status === 'active' ? undefined : status
    },
  }),
}

/** A download that is kept for the next one. */
const throughCache: MakeSubject = async (bench) => {
  const utils = createImageUtils({}, { imageConversionDir: path.join(bench.directory, 'conversion') })
  const image = path.join(bench.directory, 'image.raw')
  writeFileSync(image, bench.content)
  const value = createHash('sha256').update(bench.content).digest('hex')
  const run = async (folder: string): Promise<Buffer> => {
    const volume = path.join(bench.directory, 'cached')
    await utils.imageToVolume({
      source: image,
      volume,
      checksums: [{ algorithm: 'sha256', value }],
      cache: { directory: path.join(folder, 'cache'), maxBytes: 64 * MiB },
      durable: false,
    })
    return readFileSync(volume)
  }
  return inFolder({
    run,
    judge: async (folder) =>
      (await run(folder)).equals(bench.content) ? undefined : 'the next run is wrong',
  })(bench)
}

/** Several disks into one archive. */
function ova(kind: 'new' | 'existing'): MakeSubject {
  return async (bench) => {
    const utils = createImageUtils({}, { imageConversionDir: path.join(bench.directory, 'conversion') })
    return onto(bench, {
      kind,
      format: 'ova',
      run: (destination) =>
        utils.volumesToArchive({
          disks: [{ volume: bench.raw, volumeFormat: 'raw' }],
          machine: { name: 'machine' },
          destination,
        }),
    })
  }
}

/** Every subject by its name. */
export const subjects: Readonly<Record<string, MakeSubject>> = Object.fromEntries([
  ...['raw', 'qcow2', 'vmdk'].flatMap((stored) =>
    kinds.map((kind) => [`fetch ${stored} onto ${kind}`, fetch(stored, kind)] as const),
  ),
  ...written.flatMap(([format, subformat]) =>
    (['new', 'existing'] as const).map(
      (kind) =>
        [
          `convert to ${[format, subformat].join(' ').trim()} onto ${kind}`,
          convert(format, subformat, kind),
        ] as const,
    ),
  ),
  ...Object.entries(ofStore),
  ['download through a cache', throughCache],
  ['pack an OVA onto new', ova('new')],
  ['pack an OVA onto existing', ova('existing')],
])
