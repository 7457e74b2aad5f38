import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Command, ProcessRunner, RunOptions } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, type Throttle } from '../../src/index.ts'
import { createWorkspace, makeFullDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let raw: string
let runs: (RunOptions & { readonly command: Command })[]

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeFullDisk(raw, 6 * MiB)
  runs = []
})
afterEach(() => work[Symbol.asyncDispose]())

function make(throttle: Throttle): ImageUtils {
  const real = createProcessRunner()
  const runner: ProcessRunner = {
    run: (command, options = {}) => {
      runs.push({ ...options, command })
      return real.run(command, options)
    },
  }
  return createImageUtils(
    { imageService: work.store, runner, throttle },
    { imageConversionDir: work.conversionDir },
  )
}

async function add(format: string): Promise<string> {
  const file = work.file(`image.${format}`)
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, raw, file)
  return work.add(file, { disk_format: format, container_format: 'bare' })
}

const conversions = () => runs.filter(({ command }) => command.args[0] === 'convert')

describe('a prefix stands before the tool that writes, on every path', () => {
  const prefix = ['ionice', '-c3']

  test.each(['raw', 'qcow2', 'vmdk', 'vhdx'])('%s onto a raw volume', async (format) => {
    const volume = work.file('volume')
    await make({ prefix }).imageToVolume({ imageId: await add(format), volume })
    expect(conversions()).toMatchObject([{ prefix }])
    expect(await sha256(volume)).toBe(await sha256(raw))
  })

  test('LUKS, and LUKS to LUKS', async () => {
    const key = work.file('key')
    await writeFile(key, 'secret')
    const luks = { volumeFormat: 'luks' as const, passphraseFile: key, keyDerivationMs: 20 }
    const imageUtils = make({ prefix })
    await imageUtils.imageToVolume({ imageId: await add('qcow2'), volume: work.file('first'), ...luks })
    await imageUtils.convertImage(work.file('first'), work.file('second'), 'luks', {
      ...luks,
      srcPassphraseFile: key,
      runAsRoot: false,
    })
    // Where the clock is coarse, a key can take two tries, which are the same command: only the volumes are counted.
    const written = conversions().map(({ command }) => path.basename(command.args.at(-1) ?? ''))
    expect(new Set(written.map((name) => name.split('.')[1]))).toEqual(new Set(['first', 'second']))
    for (const conversion of conversions()) expect(conversion).toMatchObject({ prefix })
  }, 60_000)

  test('an upload', async () => {
    const image = await work.store.create({}, { disk_format: 'qcow2', container_format: 'bare' })
    await make({ prefix }).volumeToImage({ image, volume: raw })
    expect(conversions()).toMatchObject([{ prefix }])
  })

  test('one of a single call instead of the facade’s', async () => {
    const throttle = { prefix: ['nice', '-n', '5'] }
    await make({ prefix }).imageToVolume({ imageId: await add('raw'), volume: work.file('volume'), throttle })
    expect(conversions()).toMatchObject([throttle])
  })
})

describe('a rate is kept to, with a tool and without', () => {
  test.each(['raw', 'qcow2', 'vmdk'])('%s', async (format) => {
    const imageId = await add(format)
    const volume = work.file('volume')
    const started = performance.now()
    await make({ rateBytesPerSecond: 4 * MiB }).imageToVolume({ imageId, volume })
    expect(performance.now() - started).toBeGreaterThan(900)
    expect(await sha256(volume)).toBe(await sha256(raw))
  })

  test('and a slow one can be ended', async () => {
    const abort = new AbortController()
    const reason = new Error('enough')
    setTimeout(() => abort.abort(reason), 500)
    const imageUtils = make({ rateBytesPerSecond: 100_000 })
    const asked = imageUtils.imageToVolume({
      imageId: await add('raw'),
      volume: work.file('volume'),
      signal: abort.signal,
    })
    await expect(asked).rejects.toBe(reason)
  })
})
