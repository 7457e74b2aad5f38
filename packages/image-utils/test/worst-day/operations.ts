import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Tried } from '@disk-image/testing'
import {
  createDirectoryImageService,
  createImageUtils,
  type DiskFormat,
  type ImageUtils,
  machineOfProperties,
} from '../../src/index.ts'
import { recordNameOf, recordOf } from '../../../host/src/temporary/part-record.ts'
import { hostTag, temporaryName } from '../../../host/src/temporary/temporary-name.ts'
import { makeLoopDevice } from '../integration/support.ts'
import { diskBytes, makeImages } from './images.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024

/** Operations of the facade on small images, in a folder of their own. */
export interface Operations extends AsyncDisposable {
  readonly all: readonly Tried[]
}

/** Bytes of the disk: its ends, which are written last, and what is between them. */
const diskSize = 2.5 * MiB

export async function makeOperations(): Promise<Operations> {
  const root = await mkdtemp(path.join(tmpdir(), 'every-call-'))
  const kept = path.join(root, 'kept')
  const work = path.join(root, 'work')
  const at = (name: string): string => path.join(work, name)
  await mkdir(kept)
  const disk = diskBytes(diskSize, 1)
  const old = diskBytes(diskSize, 2)
  const raw = path.join(kept, 'disk.raw')
  await writeFile(raw, disk)
  const images = await makeImages(kept, raw)
  const passphrase = path.join(kept, 'passphrase')
  await writeFile(passphrase, 'secret')
  // Outside of what is watched: what is looked at afterwards is looked at by means that work.
  const reader = createImageUtils({}, { imageConversionDir: path.join(root, 'reading') })
  const empty = new AbortController()

  const newFacade = (): ImageUtils =>
    createImageUtils(
      { imageService: createDirectoryImageService({ directory: at('store') }) },
      { imageConversionDir: at('conversion'), allowCompressionOnImageUpload: true, sandbox: 'off' },
    )

  // One of all, as a service has it: what fails once must not fail the next. Its folder it looks at only once.
  const shared = newFacade()
  const facade = (): ImageUtils => shared

  const storeOf = () => createDirectoryImageService({ directory: at('store') })

  /** What an operation begins with is made once, and copied for each of its runs. */
  async function begin(name: string, make: () => Promise<unknown>): Promise<void> {
    const template = path.join(kept, 'begin', name)
    await rm(work, { recursive: true, force: true })
    if (existsSync(template)) {
      await cp(template, work, { recursive: true, preserveTimestamps: true })
      return
    }
    await mkdir(at('conversion'), { recursive: true, mode: 0o700 })
    await make()
    await cp(work, template, { recursive: true, preserveTimestamps: true })
  }

  async function keep(name: string): Promise<void> {
    const image = images[name]
    if (image === undefined) throw new Error(`no image ${name}`)
    const { file, ...metadata } = image
    const bytes = readFileSync(file)
    const source = {
      size: bytes.length,
      open: async function* () {
        yield bytes
      },
    }
    await storeOf().create({}, { name, ...metadata, id: `image-${name}` }, { data: source })
  }

  /** Whether a file is the disk, in a format. */
  async function isDisk(file: string, format: DiskFormat, expected = disk): Promise<boolean> {
    let found: Buffer
    if (format === 'raw') found = await readFile(file)
    else {
      const back = path.join(root, 'read-back')
      await rm(back, { force: true })
      if (format === 'luks') {
        const secret = ['--object', `secret,id=s,file=${passphrase}`]
        const opts = `driver=luks,key-secret=s,file.filename=${file}`
        await run('qemu-img', ['convert', ...secret, '--image-opts', opts, '-O', 'raw', back])
      } else if (format === 'qed') {
        await run('qemu-img', ['convert', '-f', 'qed', '-O', 'raw', file, back])
      } else {
        await reader.convertImage(file, back, 'raw', { srcFormat: format, runAsRoot: false })
      }
      found = await readFile(back)
    }
    return (
      found.subarray(0, expected.length).equals(expected) &&
      found.subarray(expected.length).every((byte) => byte === 0)
    )
  }

  /** What no reader takes for a disk: nothing, or no mark at either end but what was at the other one before. */
  function isNothing(file: string, before?: Buffer): boolean {
    if (!existsSync(file)) return true
    const bytes = readFileSync(file)
    const isZero = (end: Buffer): boolean => end.every((byte) => byte === 0)
    const tail = bytes.subarray(-65_536)
    const isOld = before?.subarray(-65_536).equals(tail) === true
    return isZero(bytes.subarray(0, 65_536)) && (isOld || isZero(tail))
  }

  async function checkVolume(
    error: unknown,
    file: string,
    format: DiskFormat,
    before?: Buffer,
  ): Promise<void> {
    if (error === undefined) {
      if (!(await isDisk(file, format))) throw new Error('the bytes are wrong')
      return
    }
    if (isNothing(file, before)) return
    if (before !== undefined && readFileSync(file).equals(before)) return
    if (await isDisk(file, format).catch(() => false)) return
    throw new Error('a part stands where the volume was')
  }

  const all: Tried[] = []
  const add = (name: string, tried: Omit<Tried, 'folders' | 'name'>): void =>
    void all.push({
      name,
      folders: [work],
      ...tried,
      prepare: () => begin(name, tried.prepare),
      // What it is, is checked.
      mayStay: new RegExp(`/work/(volume|machine\\.ova)$|${tried.mayStay?.source ?? '^$'}`),
    })

  for (const name of Object.keys(images)) {
    add(`fetch-${name}`, {
      prepare: () => keep(name),
      run: (signal) => facade().imageToVolume({ imageId: `image-${name}`, volume: at('volume'), signal }),
      check: (error) => checkVolume(error, at('volume'), 'raw'),
    })
  }
  for (const name of ['raw', 'qcow2', 'vmdk', 'vhd', 'raw.gz', 'ova']) {
    add(`fetch-${name}-over`, {
      prepare: async () => {
        await keep(name)
        await writeFile(at('volume'), old)
      },
      run: (signal) => facade().imageToVolume({ imageId: `image-${name}`, volume: at('volume'), signal }),
      check: (error) => checkVolume(error, at('volume'), 'raw', old),
    })
  }
  for (const volumeFormat of ['qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'parallels', 'qed'] as const) {
    add(`fetch-raw-as-${volumeFormat}`, {
      prepare: () => keep('raw'),
      run: (signal) =>
        facade().imageToVolume({ imageId: 'image-raw', volume: at('volume'), volumeFormat, signal }),
      check: (error) => checkVolume(error, at('volume'), volumeFormat),
    })
    add(`convert-to-${volumeFormat}`, {
      prepare: async () => {
        await copyFile(images['qcow2']?.file ?? '', at('source'))
      },
      run: (signal) =>
        facade().convertImage(at('source'), at('volume'), volumeFormat, {
          srcFormat: 'qcow2',
          runAsRoot: false,
          signal,
        }),
      check: (error) => checkVolume(error, at('volume'), volumeFormat),
    })
  }
  for (const [name, options, format] of [
    ['raw', {}, 'raw'],
    ['qcow2-zlib', { compress: true }, 'qcow2'],
    ['stream-optimized', { outSubformat: 'streamOptimized' }, 'vmdk'],
    ['vhd-fixed', { outSubformat: 'fixed' }, 'vhd'],
    ['luks', { passphraseFile: passphrase, keyDerivationMs: 10 }, 'luks'],
  ] as const) {
    add(`convert-to-${name}`, {
      prepare: async () => {
        await copyFile(images['vmdk']?.file ?? '', at('source'))
      },
      run: (signal) =>
        facade().convertImage(at('source'), at('volume'), format, {
          srcFormat: 'vmdk',
          runAsRoot: false,
          signal,
          ...options,
        }),
      check: (error) => checkVolume(error, at('volume'), format),
    })
  }
  for (const disk_format of ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'] as const) {
    for (const from of disk_format === 'raw' ? (['raw', 'qcow2'] as const) : (['raw'] as const)) {
      add(`upload-${from}-as-${disk_format}`, {
        prepare: async () => {
          await copyFile(images[from]?.file ?? '', at('source'))
          await storeOf().create({}, { id: 'made', name: 'made', disk_format, container_format: 'bare' })
        },
        run: (signal) =>
          facade().volumeToImage({
            image: { id: 'made', disk_format },
            volume: at('source'),
            volumeFormat: from,
            signal,
          }),
        check: async (error) => {
          const { status } = await storeOf().show({}, 'made')
          if (status === 'active' && !(await isDisk(at('store/made.data'), disk_format)))
            throw new Error('wrong bytes')
          if (error === undefined && status !== 'active') throw new Error(`it is ${status}`)
        },
        // The data get their name first, then the record says so.
        mayStay: /store\/made\.data$/,
      })
    }
  }
  add('store-create', {
    prepare: async () => undefined,
    run: async () => {
      const source = {
        size: disk.length,
        open: async function* () {
          yield disk.subarray(0, MiB)
          yield disk.subarray(MiB)
        },
      }
      await storeOf().create(
        {},
        { id: 'made', disk_format: 'raw', container_format: 'bare' },
        { data: source },
      )
    },
    check: async (error) => {
      const found = await storeOf()
        .show({}, 'made')
        .catch(() => undefined)
      if (found === undefined && error !== undefined) return
      if (found?.status === 'active' && readFileSync(at('store/made.data')).equals(disk)) return
      if (found?.status === 'queued' && error !== undefined) return
      throw new Error(`the image is ${found?.status ?? 'not there'}`)
    },
    mayStay: /\/store$/,
  })
  add('store-delete', {
    prepare: () => keep('raw'),
    run: () => storeOf().delete({}, 'image-raw'),
    check: async (error) => {
      const there = existsSync(at('store/image-raw.json'))
      if (error === undefined && (there || existsSync(at('store/image-raw.data'))))
        throw new Error('it is still there')
      if (there && !readFileSync(at('store/image-raw.data')).equals(disk))
        throw new Error('a record without its data')
    },
  })
  add('store-show', {
    prepare: () => keep('raw'),
    run: async () => {
      const images_ = await storeOf().detail({})
      if (images_.length !== 1) throw Object.assign(new Error('left out'), { code: 'LEFT_OUT', errno: 0 })
    },
    check: () => undefined,
  })
  const cache = { directory: at('cache'), maxBytes: 8 * MiB }
  const cached = (signal: AbortSignal, maxBytes = cache.maxBytes) =>
    facade().imageToVolume({
      imageId: 'image-raw',
      volume: at('volume'),
      cache: { ...cache, maxBytes },
      signal,
      durable: false,
    })
  add('cache-miss', {
    prepare: () => keep('raw'),
    run: (signal) => cached(signal),
    check: (error) => checkVolume(error, at('volume'), 'raw'),
    mayStay: /\/cache(\/\w+\.\w+-\w+\.data)?$/,
  })
  add('cache-hit', {
    prepare: async () => {
      await keep('raw')
      await cached(empty.signal)
      await rm(at('volume'))
    },
    run: (signal) => cached(signal),
    check: (error) => checkVolume(error, at('volume'), 'raw'),
  })
  add('cache-evict', {
    prepare: async () => {
      await keep('raw')
      await keep('qcow2')
      await facade().imageToVolume({ imageId: 'image-qcow2', volume: at('volume'), cache, durable: false })
      await rm(at('volume'))
    },
    run: (signal) => cached(signal, diskSize),
    check: (error) => checkVolume(error, at('volume'), 'raw'),
    mayStay: /\/cache(\/\w+\.\w+-\w+\.data)?$/,
  })
  add('ova-out', {
    prepare: async () => {
      await copyFile(raw, at('source'))
    },
    run: (signal) =>
      facade().volumesToArchive({
        disks: [{ volume: at('source'), volumeFormat: 'raw' }],
        machine: machineOfProperties('machine', {}),
        destination: at('machine.ova'),
        signal,
      }),
    check: async (error) => {
      if (error !== undefined && !existsSync(at('machine.ova'))) return
      const back = path.join(root, 'unpacked')
      await rm(back, { force: true })
      await reader.imageToVolume({ source: at('machine.ova'), volume: back })
      if (!readFileSync(back).equals(disk)) throw new Error('the bytes are wrong')
    },
  })
  add('luks-in', {
    prepare: () =>
      reader.convertImage(raw, at('source'), 'luks', {
        srcFormat: 'raw',
        runAsRoot: false,
        passphraseFile: passphrase,
        keyDerivationMs: 10,
      }),
    run: (signal) =>
      facade().convertImage(at('source'), at('volume'), 'raw', {
        srcFormat: 'luks',
        runAsRoot: false,
        signal,
        srcPassphraseFile: passphrase,
        decrypt: true,
      }),
    check: (error) => checkVolume(error, at('volume'), 'raw'),
  })
  add('clean', {
    prepare: async () => {
      const name = 'x-disk-image-1-1-1-1-1'
      await writeFile(at(`conversion/${name}`), 'left')
    },
    run: () => facade().cleanTemporaryFiles(),
    check: () => undefined,
  })
  const device = await makeLoopDevice(path.join(root, 'device'), diskSize)
  add('fetch-raw-onto-device', {
    prepare: () => keep('raw'),
    run: (signal) => facade().imageToVolume({ imageId: 'image-raw', volume: device.device, signal }),
    check: (error) => checkVolume(error, device.device, 'raw', old),
  })
  const onDevice = all.at(-1)
  if (onDevice !== undefined) {
    all[all.length - 1] = {
      ...onDevice,
      folders: [work, device.device],
      prepare: async () => {
        await onDevice.prepare()
        await writeFile(device.device, old, { flag: 'r+', flush: true })
      },
    }
  }
  add('resume', {
    prepare: async () => {
      await keep('raw')
      // What a process that is gone left of it.
      const gone = spawnSync('true').pid
      const owner = { hostTag: hostTag(), processId: gone, startTicks: 1 }
      const name = temporaryName(owner, '.volume.', '.partial')
      const bytes = 2 * MiB
      const { os_hash_value } = await storeOf().show({}, 'image-raw')
      const whole = { identity: `sha512:${os_hash_value}`, sizeBytes: diskSize }
      await writeFile(at(name), disk.subarray(0, bytes), { mode: 0o600 })
      await writeFile(at(recordNameOf(name)), recordOf(whole, bytes), { mode: 0o600 })
    },
    run: (signal) => facade().imageToVolume({ imageId: 'image-raw', volume: at('volume'), signal }),
    check: (error) => checkVolume(error, at('volume'), 'raw'),
  })
  return {
    all,
    [Symbol.asyncDispose]: async () => {
      await device.detach()
      await rm(root, { recursive: true, force: true })
    },
  }
}
