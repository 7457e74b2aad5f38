import { execFile } from 'node:child_process'
import { appendFileSync, existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { createProcessRunner } from '@disk-image/host'
import { ImageError, type ProcessRunner } from '@disk-image/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, InvalidError } from '../../src/index.ts'
import { inspectFile } from '../../src/inspector.ts'
import { createWorkspace, makeBackedQcow2, makeRawDisk, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace

beforeEach(async () => {
  work = await createWorkspace()
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

function make(runner?: ProcessRunner): ImageUtils {
  return createImageUtils({ imageService: work.store, runner }, { imageConversionDir: work.conversionDir })
}

const failureOf = (act: Promise<unknown>): Promise<unknown> =>
  act.then(
    () => undefined,
    (error: unknown) => error,
  )

/** Does something the moment before a tool starts: after everything was judged. */
function before(subcommand: string, act: () => Promise<unknown>, sandbox: 'off' | 'auto'): ProcessRunner {
  const runner = createProcessRunner({ sandbox })
  return {
    run: async (command, options) => {
      if (command.args[0] === subcommand) await act()
      return runner.run(command, options)
    },
  }
}

describe.each(['off', 'auto'] as const)('sandbox %s', (sandbox) => {
  test('what takes the name of a judged source is not what is converted', async () => {
    const [source, secret, target] = ['source.qcow2', 'secret', 'target.raw'].map((name) => work.file(name))
    await makeRawDisk(work.file('disk'), 4 * MiB)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', work.file('disk'), source ?? '')
    await writeFile(secret ?? '', Buffer.alloc(4 * MiB, 'SECRET'))
    await makeBackedQcow2(work.file('trap'), secret ?? '')
    const swap = (): Promise<void> => rename(work.file('trap'), source ?? '')
    const imageUtils = make(before('convert', swap, sandbox))
    // Whether the swap is noticed or has no effect: the secret is nowhere.
    const failure = await failureOf(
      imageUtils.convertImage(source ?? '', target ?? '', 'raw', {
        srcFormat: 'qcow2',
        runAsRoot: false,
        throttle: { prefix: ['nice'] },
      }),
    )
    expect(failure === undefined || ImageError.is(failure)).toBe(true)
    const written = await readFile(target ?? '').catch(() => Buffer.alloc(0))
    expect(written.includes('SECRET')).toBe(false)
  })

  test('a source that is written to after it was judged is refused, and nothing is left of the target', async () => {
    const [source, target] = [work.file('source.qcow2'), work.file('target.raw')]
    await tool('qemu-img', 'create', '-q', '-f', 'qcow2', source, '4M')
    await writeFile(work.file('secret'), Buffer.alloc(4 * MiB, 'SECRET'))
    await makeBackedQcow2(work.file('trap'), work.file('secret'))
    const overwrite = async (): Promise<void> => writeFile(source, await readFile(work.file('trap')))
    const imageUtils = make(before('convert', overwrite, sandbox))
    const converting = imageUtils.convertImage(source, target, 'raw', {
      srcFormat: 'qcow2',
      runAsRoot: false,
      // Before a tool comes a tool.
      throttle: { prefix: ['nice'] },
    })
    expect(ImageError.is(await failureOf(converting))).toBe(true)
    expect(await readFile(target).catch(() => Buffer.alloc(0))).not.toContain('SECRET')
  })

  test('an upload sends the volume that was judged', async () => {
    const volume = work.file('volume.qcow2')
    await makeRawDisk(work.file('disk'), 4 * MiB)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', work.file('disk'), volume)
    await writeFile(work.file('secret'), Buffer.alloc(4 * MiB, 'SECRET'))
    await makeBackedQcow2(work.file('trap'), work.file('secret'))
    const imageUtils = make(before('convert', () => rename(work.file('trap'), volume), sandbox))
    const image = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
    const failure = await failureOf(
      imageUtils.volumeToImage({ image, volume, volumeFormat: 'qcow2', throttle: { prefix: ['nice'] } }),
    )
    expect(failure === undefined || ImageError.is(failure)).toBe(true)
    const stored = await readFile(`${work.directory}/store/${image.id}.data`).catch(() => Buffer.alloc(0))
    expect(stored.includes('SECRET')).toBe(false)
  })
})

test('a source that is written to while it is read in process is refused', async () => {
  const [source, target] = [work.file('source.qcow2'), work.file('target.raw')]
  await makeRawDisk(work.file('disk'), 4 * MiB)
  for (const format of ['raw', 'vmdk'] as const) {
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', work.file('disk'), source)
    let isOld = true
    const converting = make().convertImage(source, target, format, {
      srcFormat: 'qcow2',
      runAsRoot: false,
      onProgress: () => {
        if (isOld) appendFileSync(source, 'more')
        isOld = false
      },
    })
    expect(ImageError.is(await failureOf(converting))).toBe(true)
    expect(existsSync(target)).toBe(false)
  }
})

describe('what is no source', () => {
  const names = ['pipe', 'folder', 'link to a pipe', '/dev/null', 'socket'] as const
  let pathOf: (name: (typeof names)[number]) => string
  beforeEach(async () => {
    pathOf = (name) => (name.startsWith('/') ? name : work.file(name))
    await promisify(execFile)('mkfifo', [work.file('pipe')])
    await mkdir(work.file('folder'))
    await symlink('pipe', work.file('link to a pipe'))
    await promisify(execFile)('python3', [
      '-c',
      'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
      work.file('socket'),
    ])
  })

  test.each(names)('%s is refused at once by every function that reads one', async (name) => {
    const imageUtils = make()
    const source = pathOf(name)
    const image = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
    const target = work.file('target')
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      inspectFile: () => inspectFile(source),
      qemuImgInfo: () => imageUtils.qemuImgInfo(source),
      getImageFormat: () => imageUtils.getImageFormat(source),
      resizeImage: () => imageUtils.resizeImage(source, 1, { fileFormat: 'raw' }),
      convertRaw: () =>
        imageUtils.convertImage(source, target, 'qcow2', { srcFormat: 'raw', runAsRoot: false }),
      convert: () => imageUtils.convertImage(source, target, 'qcow2', { runAsRoot: false }),
      upload: () => imageUtils.volumeToImage({ image, volume: source }),
      uploadQcow2: () => imageUtils.volumeToImage({ image, volume: source, volumeFormat: 'qcow2' }),
    }
    for (const [call, act] of Object.entries(calls)) {
      await expect(act(), call).rejects.toThrow(InvalidError)
      await expect(act(), call).rejects.toThrow(source)
    }
    await expect(stat(target)).rejects.toThrow('ENOENT')
  })
})

test('a link that the caller gives is followed once, and errors call the source by its name', async () => {
  await makeRawDisk(work.file('disk'), 4 * MiB)
  await symlink('disk', work.file('link'))
  const imageUtils = make()
  await imageUtils.convertImage(work.file('link'), work.file('target'), 'qcow2', {
    srcFormat: 'raw',
    runAsRoot: false,
  })
  expect((await imageUtils.qemuImgInfo(work.file('link'))).image).toBe(work.file('link'))
  await makeBackedQcow2(work.file('backed'), work.file('disk'))
  await expect(imageUtils.qemuImgInfo(work.file('backed'))).rejects.toThrow(work.file('backed'))
})

describe('a VMDK that would be more than one file', () => {
  const names = [
    'monolithicFlat',
    'twoGbMaxExtentSparse',
    'twoGbMaxExtentFlat',
    'MONOLITHICFLAT',
    ' monolithicFlat',
  ]
  test.each(names)('%j is refused before anything is read or written', async (subformat) => {
    const disk = work.file('disk')
    await makeRawDisk(disk, 4 * MiB)
    const imageId = await work.add(disk, { disk_format: 'raw', container_format: 'bare' })
    await copyFile(disk, work.file('volume-flat.vmdk'))
    const imageUtils = make()
    const there = await readdir(work.directory)
    const volume = work.file('volume.vmdk')
    const request = { imageId, volume, volumeFormat: 'vmdk' as const, volumeSubformat: subformat }
    await expect(imageUtils.imageToVolume(request)).rejects.toThrow(
      'only monolithicSparse and streamOptimized',
    )
    await expect(imageUtils.planImageToVolume(request)).rejects.toThrow(InvalidError)
    await expect(
      imageUtils.convertImage(disk, volume, 'VMDK' as 'vmdk', { outSubformat: subformat, runAsRoot: false }),
    ).rejects.toThrow(InvalidError)
    expect(await readdir(work.directory)).toEqual(there)
  })
})

test('with a root helper no link is followed for an upload: root would give away what it leads to', async () => {
  const volume = work.file('volume')
  await makeRawDisk(volume, MiB)
  await symlink(volume, work.file('link'))
  const imageUtils = createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir, rootHelper: ['sudo', '-n'] },
  )
  const upload = async (name: string): Promise<unknown> => {
    const image = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
    return imageUtils.volumeToImage({ image, volume: work.file(name), runAsRoot: true })
  }
  await expect(upload('link')).rejects.toThrow(`${work.file('link')} is a link`)
  await upload('volume')
})
