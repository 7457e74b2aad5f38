import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Command, type Logger, NotSupportedOperationError, type ProcessRunner } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { makeEncryptedImage, requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  createImageUtils,
  ImageTooBigError,
  ImageUnacceptableError,
  type ImageUtils,
  InvalidError,
} from '../../src/index.ts'
import { createWorkspace, makeLoopDevice, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const cryptsetup = requireTool('cryptsetup')
const nbdkit = requireTool('nbdkit')
requireTool('nbdcopy', 'libnbd-bin')

/** Deriving keys is to take long; here it is not what is tested. */
const keyDerivationMs = 20
const passphrases = ['correct horse battery', 'staple of the second']
let work: Workspace
let raw: string
let rawHash: string
let first: string
let second: string
let imageUtils: ImageUtils
/** Everything that was run or logged, and every command line that the kernel showed meanwhile. */
const seen: string[] = []
const watch = { on: true }
let watcher: Promise<void>

beforeAll(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 8 * MiB)
  rawHash = await sha256(raw)
  first = work.file('first,key:1')
  second = work.file('second')
  await writeFile(first, passphrases[0] ?? '', { mode: 0o600 })
  await writeFile(second, passphrases[1] ?? '', { mode: 0o600 })
  const keep = (...words: unknown[]): void => void seen.push(JSON.stringify(words))
  const logger: Logger = { debug: keep, info: keep, warn: keep, error: keep }
  const real = createProcessRunner({ logger })
  const runner: ProcessRunner = {
    run: (command: Command, options) => {
      keep(command, options)
      return real.run(command, options)
    },
  }
  imageUtils = createImageUtils(
    { imageService: work.store, runner, logger },
    { imageConversionDir: work.conversionDir },
  )
  watcher = watchCommandLines()
})
afterAll(async () => {
  watch.on = false
  await watcher
  await work[Symbol.asyncDispose]()
})

async function watchCommandLines(): Promise<void> {
  const known = new Set<string>()
  while (watch.on) {
    const ids = (await readdir('/proc')).filter((id) => /^\d+$/.test(id) && !known.has(id))
    for (const id of ids) {
      const text = await readFile(`/proc/${id}/cmdline`, 'latin1').catch(() => '')
      if (text.includes('qemu-img')) seen.push(text)
      else if (!text.includes('bwrap') && !text.includes('prlimit')) known.add(id)
    }
    await delay(20)
  }
}

function opens(image: string, passphraseFile: string): boolean {
  const args = ['open', '--test-passphrase', '--key-file', passphraseFile, image]
  return spawnSync(cryptsetup, args).status === 0
}

/** The hash of the disk inside, as a reader has it that shares no code with qemu. */
async function readInside(image: string, passphraseFile: string, sizeBytes?: number): Promise<string> {
  // Its parameters are split at no comma, but names beginning with a dash or so would be read otherwise.
  const copy = work.file('inside')
  const args = ['-U', '-', '--filter=luks', 'file', image, `passphrase=+${passphraseFile}`]
  execFileSync(nbdkit, [...args, '--run', 'nbdcopy "$uri" "$COPY"'], {
    env: { ...process.env, COPY: copy },
  })
  // A device holds a larger disk than the one that was put there.
  if (sizeBytes !== undefined) await truncate(copy, sizeBytes)
  const hash = await sha256(copy)
  await rm(copy)
  return hash
}

function dump(image: string): string {
  return execFileSync(cryptsetup, ['luksDump', image], { encoding: 'utf8' })
}

describe('convertImage', () => {
  test('plain to LUKS, with the cipher that was asked for', async () => {
    const volume = work.file('volume, with:odd=names')
    const cipherSpec = imageUtils.decodeCipher('aes-xts-plain64', 256)
    await imageUtils.convertImage(raw, volume, 'luks', {
      srcFormat: 'raw',
      runAsRoot: false,
      cipherSpec,
      passphraseFile: first,
      keyDerivationMs,
    })
    expect(dump(volume)).toMatch(/Cipher mode:\s+xts-plain64/)
    expect(opens(volume, first)).toBe(true)
    expect(await readInside(volume, first)).toBe(rawHash)
    const info = await imageUtils.qemuImgInfo(volume, { runAsRoot: false })
    expect(info).toMatchObject({ fileFormat: 'raw', encrypted: true, formatSpecific: { type: 'luks' } })
  }, 60_000)

  test('LUKS to LUKS with another passphrase and another cipher', async () => {
    const volume = work.file('volume, with:odd=names')
    const again = work.file('json:{"driver":"file"}')
    const cipherSpec = imageUtils.decodeCipher('aes-cbc-plain64', 256)
    await imageUtils.convertImage(volume, again, 'luks', {
      runAsRoot: false,
      srcPassphraseFile: first,
      passphraseFile: second,
      cipherSpec,
      keyDerivationMs,
    })
    expect(dump(again)).toMatch(/Cipher mode:\s+cbc-plain64/)
    expect(opens(again, second)).toBe(true)
    expect(opens(again, first)).toBe(false)
    expect(await readInside(again, second)).toBe(rawHash)
  }, 60_000)

  test('encrypted to unencrypted is refused, and the destination never made', async () => {
    const volume = work.file('volume, with:odd=names')
    const plain = work.file('plain')
    const asked = imageUtils.convertImage(volume, plain, 'raw', {
      runAsRoot: false,
      srcPassphraseFile: first,
    })
    await expect(asked).rejects.toThrow(NotSupportedOperationError)
    await expect(asked).rejects.toThrow(
      "Can't create unencrypted volume raw from an encrypted source volume.",
    )
    await expect(stat(plain)).rejects.toThrow('ENOENT')
  })

  test('a wrong passphrase fails and leaves nothing', async () => {
    const volume = work.file('volume, with:odd=names')
    const other = work.file('other')
    const asked = imageUtils.convertImage(volume, other, 'luks', {
      runAsRoot: false,
      srcPassphraseFile: second,
      passphraseFile: first,
    })
    await expect(asked).rejects.toMatchObject({ code: 'IMAGE_UNACCEPTABLE', rule: 'luks-passphrase' })
    await expect(stat(other)).rejects.toThrow('ENOENT')
  })

  test('an encrypted qcow2 that names a file of the host is refused before it is opened', async () => {
    const image = work.file('backed.qcow2')
    const options = ['-o', `encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100`]
    const secret = ['--object', `secret,id=s,file=${second}`]
    await makeEncryptedImage(['create', '-q', ...secret, '-f', 'qcow2', ...options, image, '1M'])
    await tool(
      'qemu-img',
      'rebase',
      ...secret,
      '-u',
      '-F',
      'raw',
      '-b',
      '/etc/passwd',
      '--image-opts',
      `driver=qcow2,encrypt.key-secret=s,file.filename=${image}`,
    )
    const asked = imageUtils.convertImage(image, work.file('other'), 'luks', {
      runAsRoot: false,
      srcPassphraseFile: second,
      passphraseFile: first,
    })
    await expect(asked).rejects.toThrow(ImageUnacceptableError)
    await expect(asked).rejects.toThrow(/backing/)
  })
})

const luks = (volume: string, imageId: string) => ({
  imageId,
  volume,
  volumeFormat: 'luks' as const,
  passphraseFile: first,
  cipherSpec: imageUtils.decodeCipher('aes-xts-plain64', 256),
  keyDerivationMs,
})

describe('imageToVolume', () => {
  test('a VHD becomes a LUKS volume', async () => {
    const image = work.file('image.vhd')
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, image)
    const imageId = await work.add(image, { disk_format: 'vhd', container_format: 'bare' })
    const volume = work.file('luks from vhd')
    await imageUtils.imageToVolume(luks(volume, imageId))
    expect(opens(volume, first)).toBe(true)
    expect(await readInside(volume, first)).toBe(rawHash)
    expect(await work.leftovers()).toEqual([])
  }, 60_000)

  test('onto a block device with old data, and from there onto another, with the other passphrase', async () => {
    const devices = [
      await makeLoopDevice(work.file('device 1'), 12 * MiB),
      await makeLoopDevice(work.file('device 2'), 12 * MiB),
    ] as const
    const [one, two] = [devices[0].device, devices[1].device]
    try {
      const source = work.file('image.qcow2')
      await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, source)
      const imageId = await work.add(source, { disk_format: 'qcow2', container_format: 'bare' })
      await imageUtils.imageToVolume(luks(one, imageId))
      expect(dump(one)).toMatch(/Version:\s+1\n/)
      expect(dump(one)).toMatch(/Cipher name:\s+aes\nCipher mode:\s+xts-plain64/)
      expect([opens(one, first), opens(one, second)]).toEqual([true, false])
      expect(await readInside(one, first, 8 * MiB)).toBe(rawHash)

      await imageUtils.convertImage(one, two, 'luks', {
        runAsRoot: false,
        srcPassphraseFile: first,
        passphraseFile: second,
        cipherSpec: imageUtils.decodeCipher('aes-cbc-plain64', 128),
        keyDerivationMs,
      })
      expect(dump(two)).toMatch(/Cipher name:\s+aes\nCipher mode:\s+cbc-plain64/)
      expect([opens(two, first), opens(two, second)]).toEqual([false, true])
      expect(await readInside(two, second, 8 * MiB)).toBe(rawHash)

      // The container of the first device, uploaded as it is, comes back and gets the other key on its way.
      const image = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
      await imageUtils.uploadVolume({}, undefined, image, one, { runAsRoot: false })
      const again = { ...luks(two, image.id), sourcePassphraseFile: first, passphraseFile: second }
      await imageUtils.imageToVolume(again)
      expect([opens(two, first), opens(two, second)]).toEqual([false, true])
      expect(await readInside(two, second, 8 * MiB)).toBe(rawHash)
    } finally {
      for (const { detach } of devices) await detach()
    }
  }, 60_000)

  test('a device that is too small for disk and header is refused, and keeps its content', async () => {
    const { device, detach } = await makeLoopDevice(work.file('small device'), 8 * MiB)
    try {
      await writeFile(device, 'old')
      const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
      const asked = imageUtils.imageToVolume(luks(device, imageId))
      await expect(asked).rejects.toThrow(ImageTooBigError)
      await expect(asked).rejects.toThrow(`do not fit on ${device}, which has 8 MiB`)
      expect((await readFile(device)).subarray(0, 3).toString()).toBe('old')
    } finally {
      await detach()
    }
  })

  test('an encrypted image goes onto a raw volume as the bytes that it is', async () => {
    const image = work.file('luks from vhd')
    const imageId = await work.add(image, { disk_format: 'raw', container_format: 'bare' })
    const volume = work.file('carried')
    await imageUtils.imageToVolume({ imageId, volume })
    expect(await sha256(volume)).toBe(await sha256(image))
  })

  test('version 2 is carried, and refused where only qemu-img could open it; ours gives it another key', async () => {
    const image = work.file('luks2')
    await tool('truncate', '-s', '20M', image)
    const format = [
      'luksFormat',
      '--type',
      'luks2',
      '--batch-mode',
      '--pbkdf',
      'pbkdf2',
      '--pbkdf-force-iterations',
      '1000',
    ]
    execFileSync(cryptsetup, [...format, '--key-file', first, image])
    for (const diskFormat of ['raw', 'ami']) {
      const imageId = await work.add(image, { disk_format: diskFormat, container_format: 'bare' })
      const volume = work.file(`carried as ${diskFormat}`)
      await imageUtils.imageToVolume({ imageId, volume })
      expect(await sha256(volume)).toBe(await sha256(image))
      const opened = { ...luks(work.file('never'), imageId), sourcePassphraseFile: first }
      const cipherSpec = imageUtils.decodeCipher('serpent-xts-plain64', 256)
      const asked = imageUtils.imageToVolume({ ...opened, cipherSpec })
      await expect(asked).rejects.toThrow('LUKS version 2 cannot be converted')
      const again = { ...opened, volume: work.file(`again as ${diskFormat}`), passphraseFile: second }
      await imageUtils.imageToVolume(again)
      expect([opens(again.volume, first), opens(again.volume, second)]).toEqual([false, true])
      // 16 MiB are its header.
      expect((await stat(again.volume)).size).toBe(4 * MiB + 4040 * 512)
    }
  })

  test('what does not fit together is refused before anything is downloaded', async () => {
    const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
    const volume = work.file('never')
    const { passphraseFile: _, ...without } = luks(volume, imageId)
    await expect(imageUtils.imageToVolume(without)).rejects.toThrow(InvalidError)
    const plain = { imageId, volume, sourcePassphraseFile: first }
    await expect(imageUtils.imageToVolume(plain)).rejects.toThrow(NotSupportedOperationError)
    await expect(stat(volume)).rejects.toThrow('ENOENT')
  })
})

describe('decrypt', () => {
  /** A container of version 2, which cryptsetup makes of a disk without the kernel's help. */
  async function makeLuks2(name: string, disk: string): Promise<string> {
    const image = work.file(name)
    await copyFile(disk, image)
    await truncate(image, (await stat(disk)).size + 32 * MiB)
    const cheap = ['--pbkdf', 'argon2id', '--pbkdf-memory', '4096', '--pbkdf-force-iterations', '4']
    const kind = ['--encrypt', '--type', 'luks2', '--reduce-device-size', '32M']
    execFileSync(cryptsetup, ['reencrypt', '--batch-mode', ...kind, ...cheap, '--key-file', first, image])
    return image
  }

  /** cryptsetup takes no disk that has partitions. */
  let disk: string
  let diskHash: string
  beforeAll(async () => {
    disk = work.file('no partitions')
    const bytes = await readFile(raw)
    await writeFile(disk, bytes.fill(0, 510, 512))
    diskHash = await sha256(disk)
  })

  /** A disk on which a format looks for another file of the host. */
  async function makeHidden(name: string, format: string): Promise<string> {
    const hidden = work.file(name)
    const backing = ['-u', '-b', '/etc/passwd', '-F', 'raw']
    await tool('qemu-img', 'create', '-q', '-f', format, ...(format === 'qcow2' ? backing : []), hidden, '1M')
    await truncate(hidden, 8 * MiB)
    return hidden
  }

  const fromKey = () => ({ sourcePassphraseFile: first, decrypt: true })

  test('a container of version 1 becomes a raw file, without qemu-img', async () => {
    const plain = work.file('plain')
    const before = seen.length
    const volume = work.file('volume, with:odd=names')
    const options = { runAsRoot: false, srcPassphraseFile: first, decrypt: true }
    await imageUtils.convertImage(volume, plain, 'raw', options)
    expect(await sha256(plain)).toBe(rawHash)
    expect(seen.slice(before).join('\n')).not.toContain('"file":"qemu-img"')
  })

  test.each(['raw', 'luks'])('an image of version 2, in a record of the format %s', async (diskFormat) => {
    const image = await makeLuks2('of version 2', disk)
    const imageId = await work.add(image, { disk_format: diskFormat, container_format: 'bare' })
    const volume = work.file(`raw from ${diskFormat}`)
    const report = await imageUtils.imageToVolume({ imageId, volume, ...fromKey() })
    expect(report).toMatchObject({ format: 'luks', volumeFormat: 'raw' })
    expect(report.virtualSizeBytes).toBe((await stat(image)).size - 16 * MiB)
    await truncate(volume, 8 * MiB)
    expect(await sha256(volume)).toBe(diskHash)
    expect(await work.leftovers()).toEqual([])
  })

  test('a wrong passphrase, a disk inside that is not raw, and an image that is not encrypted write nothing', async () => {
    const device = await makeLoopDevice(work.file('kept device'), 64 * MiB)
    const hidden = await makeHidden('hidden.qcow2', 'qcow2')
    const rows = [
      [await makeLuks2('of version 2', disk), second, 'luks-passphrase'],
      [await makeLuks2('of a qcow2', hidden), first, 'format-mismatch'],
      [raw, first, 'luks-header'],
    ] as const
    try {
      await writeFile(device.device, 'old')
      for (const [image, sourcePassphraseFile, rule] of rows) {
        const imageId = await work.add(image, { disk_format: 'raw', container_format: 'bare' })
        const asked = imageUtils.imageToVolume({
          ...fromKey(),
          imageId,
          volume: device.device,
          sourcePassphraseFile,
        })
        await expect(asked).rejects.toMatchObject({ code: 'IMAGE_UNACCEPTABLE', rule })
        const file = work.file('never')
        await expect(
          imageUtils.imageToVolume({ ...fromKey(), imageId, volume: file, sourcePassphraseFile }),
        ).rejects.toMatchObject({ rule })
        await expect(stat(file)).rejects.toThrow('ENOENT')
      }
      expect((await readFile(device.device)).subarray(0, 3).toString()).toBe('old')
      expect(await work.leftovers()).toEqual([])
    } finally {
      await device.detach()
    }
  })

  test('onto a device, longer as a file, and refused where the disk is larger than the volume', async () => {
    const image = await makeLuks2('of version 2', disk)
    const imageId = await work.add(image, { disk_format: 'raw', container_format: 'bare' })
    const { device, detach } = await makeLoopDevice(work.file('plain device'), 64 * MiB)
    try {
      await imageUtils.imageToVolume({ imageId, volume: device, ...fromKey() })
      const bytes = await readFile(device)
      expect(
        createHash('sha256')
          .update(bytes.subarray(0, 8 * MiB))
          .digest('hex'),
      ).toBe(diskHash)
    } finally {
      await detach()
    }
    const volume = work.file('longer')
    await imageUtils.imageToVolume({ imageId, volume, volumeSizeGiB: 1, ...fromKey() })
    expect((await stat(volume)).size).toBe(1024 * MiB)
    const small = { imageId, volume: work.file('never'), volumeSizeGiB: 0.01, ...fromKey() }
    await expect(imageUtils.imageToVolume(small)).rejects.toMatchObject({ rule: 'virtual-size' })
  })

  test('a qcow2 that is encrypted, fetched and converted, without qemu-img', async () => {
    const image = work.file('encrypted.qcow2')
    const secret = ['--object', `secret,id=s,file=${first.replaceAll(',', ',,')}`]
    const options = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'
    await makeEncryptedImage(['convert', '-f', 'raw', '-O', 'qcow2', ...secret, '-o', options, raw, image])
    const before = seen.length
    const volume = work.file('raw from qcow2')
    const imageId = await work.add(image, { disk_format: 'qcow2', container_format: 'bare' })
    await imageUtils.imageToVolume({ imageId, volume, ...fromKey() })
    expect(await sha256(volume)).toBe(rawHash)
    // What nobody could see before is judged before anything is written.
    const hidden = work.file('hidden in a qcow2')
    await makeEncryptedImage([
      'convert',
      '-f',
      'raw',
      '-O',
      'qcow2',
      ...secret,
      '-o',
      options,
      await makeHidden('hidden.vmdk', 'vmdk'),
      hidden,
    ])
    const never = work.file('never')
    const hiddenId = await work.add(hidden, { disk_format: 'qcow2', container_format: 'bare' })
    const luksToo = { ...luks(never, hiddenId), sourcePassphraseFile: first }
    const judged = [
      () => imageUtils.imageToVolume({ imageId: hiddenId, volume: never, ...fromKey() }),
      () => imageUtils.imageToVolume(luksToo),
      () =>
        imageUtils.convertImage(hidden, never, 'raw', {
          runAsRoot: false,
          srcPassphraseFile: first,
          decrypt: true,
        }),
      () =>
        imageUtils.convertImage(hidden, never, 'luks', {
          runAsRoot: false,
          srcPassphraseFile: first,
          passphraseFile: second,
        }),
    ]
    for (const asked of judged) await expect(asked()).rejects.toMatchObject({ rule: 'format-mismatch' })
    await expect(stat(never)).rejects.toThrow('ENOENT')
    const plain = work.file('plain from qcow2')
    const key = { srcPassphraseFile: first, decrypt: true }
    await imageUtils.convertImage(image, plain, 'raw', { runAsRoot: false, ...key })
    expect(await sha256(plain)).toBe(rawHash)
    expect(seen.slice(before).join('\n')).not.toContain('"file":"qemu-img"')
    const wrong = { imageId, volume: work.file('never'), ...fromKey(), sourcePassphraseFile: second }
    await expect(imageUtils.imageToVolume(wrong)).rejects.toMatchObject({ rule: 'luks-passphrase' })
    await expect(stat(wrong.volume)).rejects.toThrow('ENOENT')
  }, 60_000)

  test('needs the passphrase, and a raw volume', async () => {
    const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
    const volume = work.file('never')
    await expect(imageUtils.imageToVolume({ imageId, volume, decrypt: true })).rejects.toThrow(InvalidError)
    const qcow2 = { imageId, volume, volumeFormat: 'qcow2' as const, ...fromKey() }
    await expect(imageUtils.imageToVolume(qcow2)).rejects.toThrow(InvalidError)
    const plan = await imageUtils.planImageToVolume({ imageId, volume, ...fromKey() })
    // It is no container, which its head shows.
    expect(plan.steps.join()).toContain('convert luks to raw')
    expect(plan.needsQemuImg).toBe(false)
    const luksId = await work.add(work.file('luks2'), { disk_format: 'raw', container_format: 'bare' })
    const streamed = await imageUtils.planImageToVolume({ imageId: luksId, volume, ...fromKey() })
    expect(streamed.steps.join()).toContain('decoding luks onto')
    expect(streamed).toMatchObject({ temporaryBytes: 0, needsQemuImg: false })
  })
})

test('only a cipher that is not written here needs qemu-img', async () => {
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const volume = work.file('never')
  const plan = async (cipherSpec: ReturnType<ImageUtils['decodeCipher']>): Promise<boolean> =>
    (await imageUtils.planImageToVolume({ ...luks(volume, imageId), cipherSpec })).needsQemuImg
  const decodeCipher: ImageUtils['decodeCipher'] = (name, bits) => imageUtils.decodeCipher(name, bits)
  expect(await plan(decodeCipher('aes-xts-plain64', 256))).toBe(false)
  expect(await plan(decodeCipher('aes-cbc-essiv:sha256', 128))).toBe(false)
  expect(await plan(decodeCipher('serpent-xts-plain64', 256))).toBe(true)
  const before = seen.length
  await imageUtils.imageToVolume({
    ...luks(volume, imageId),
    cipherSpec: decodeCipher('aes-cbc-essiv:sha256', 128),
  })
  expect(seen.slice(before).join('\n')).not.toContain('"file":"qemu-img"')
  expect(dump(volume)).toMatch(/Cipher mode:\s+cbc-essiv:sha256/)
  // nbdkit doesn't read this one.
  const plain = work.file('plain from essiv')
  await imageUtils.convertImage(volume, plain, 'raw', {
    runAsRoot: false,
    srcPassphraseFile: first,
    decrypt: true,
  })
  expect(await sha256(plain)).toBe(rawHash)
  await rm(volume)
})

test('a LUKS volume is uploaded as the bytes that it is', async () => {
  const volume = work.file('luks from vhd')
  const image = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
  await imageUtils.uploadVolume({}, undefined, image, volume, { runAsRoot: false })
  expect(await sha256(path.join(work.directory, 'store', `${image.id}.data`))).toBe(await sha256(volume))
})

test('no passphrase ever stood on a command line or in a log', async () => {
  await mkdir(work.conversionDir, { recursive: true })
  const text = seen.join('\n')
  expect(text).toContain('secret,id=')
  for (const passphrase of passphrases) {
    expect(text).not.toContain(passphrase)
    expect(text).not.toContain(Buffer.from(passphrase).toString('base64'))
  }
})
