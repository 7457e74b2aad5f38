import { constants } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { GiB, ImageTooBigError, KiB, MiB } from '@disk-image/core'
import { allocatePagePieces } from '@disk-image/io'
import { openVolume, type OpenVolumeOptions } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { attachLoopDevice } from './loop-device.ts'

for (const tool of ['losetup', 'mke2fs']) requireTool(tool)

let folder: string
let stack: AsyncDisposableStack
beforeEach(async () => {
  folder = await mkdtemp('/var/tmp/direct-')
  stack = new AsyncDisposableStack()
})
afterEach(async () => {
  await stack.disposeAsync()
  await rm(folder, { recursive: true })
})

/** An empty file system of its own, gone after the test. */
async function mounted(sizeBytes: number): Promise<string> {
  const device = stack.use(await attachLoopDevice(path.join(folder, 'file-system'), sizeBytes))
  await execa('mke2fs', ['-q', '-t', 'ext4', device.path])
  const mountPoint = path.join(folder, 'mounted')
  await mkdir(mountPoint)
  await execa('mount', [device.path, mountPoint])
  stack.defer(async () => void (await execa('umount', [mountPoint])))
  return mountPoint
}

/** How many descriptors of this process write to a file past the page cache. */
async function directDescriptors(file: string): Promise<number> {
  let count = 0
  for (const name of await readdir('/proc/self/fd')) {
    const target = await readlink(`/proc/self/fd/${name}`).catch(() => '')
    // A new file has another name until it is committed.
    if (target !== file && !target.startsWith(path.join(path.dirname(file), `.${path.basename(file)}.`)))
      continue
    const flags = /^flags:\s+(?<octal>[0-7]+)/m.exec(await readFile(`/proc/self/fdinfo/${name}`, 'latin1'))
    if ((Number.parseInt(flags?.groups?.['octal'] ?? '0', 8) & constants.O_DIRECT) !== 0) count += 1
  }
  return count
}

/** Small numbers that are the same in each run. */
function createRandom(): (below: number) => number {
  let state = 1
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/** Cuts so many bytes into pieces of all kinds: large and small ones, on pages and beside them, data and zeros. */
function piecesOf(sizeBytes: number): { offset: number; length: number; zero: boolean; aligned: boolean }[] {
  const random = createRandom()
  const lengths = [512, 4 * KiB, 12 * KiB, 64 * KiB, 256 * KiB, 260 * KiB, MiB, MiB, MiB, 100_000]
  const pieces = []
  for (let offset = 0; offset < sizeBytes;) {
    // After an odd length the next page is reached first, so that there are large pieces on pages again.
    const toPage = offset % (4 * KiB) === 0 ? undefined : 4 * KiB - (offset % (4 * KiB))
    const wanted = toPage ?? lengths[random(lengths.length)] ?? 0
    const length = Math.min(wanted, sizeBytes - offset)
    pieces.push({ offset, length, zero: random(5) === 0, aligned: random(6) > 0 })
    offset += length
  }
  return pieces
}

/** Writes a disk of such pieces, three at once as pipelines do. @returns what it must hold, and how it was written */
async function fill(
  file: string,
  sizeBytes: number,
  options: OpenVolumeOptions = {},
): Promise<{ readonly expected: Buffer; readonly descriptors: number }> {
  const expected = Buffer.alloc(sizeBytes)
  const lanes = allocatePagePieces(3, MiB)
  const pieces = piecesOf(sizeBytes).values()
  await using volume = await openVolume(file, { sizeBytes, ...options })
  const work = async (lane: Uint8Array, index: number): Promise<void> => {
    for (const { offset, length, zero, aligned } of pieces) {
      if (zero) {
        await volume.zero(offset, length)
        continue
      }
      const bytes = aligned ? lane.subarray(0, length) : Buffer.alloc(length)
      bytes.fill(1 + ((offset / 512 + index) % 255))
      expected.set(bytes, offset)
      await volume.write(bytes, offset)
    }
  }
  await Promise.all(lanes.map(work))
  const descriptors = await directDescriptors(file)
  await volume.commit(sizeBytes)
  return { expected, descriptors }
}

const sizeBytes = 48 * MiB + 5 * 512

test('a file and a device take large pieces directly and the rest as ever, and hold what was written', async () => {
  const file = path.join(await mounted(128 * MiB), 'volume')
  const onFile = await fill(file, sizeBytes)
  expect(onFile.descriptors).toBe(1)
  expect(await directDescriptors(file)).toBe(0)
  expect((await readFile(file)).equals(onFile.expected)).toBe(true)

  const device = stack.use(await attachLoopDevice(path.join(folder, 'backing'), sizeBytes))
  // Twice: what is written over was in the page cache, and where blkdiscard fails zeros are.
  for (const runner of [undefined, { run: () => Promise.reject(new Error('no blkdiscard here')) }]) {
    const onDevice = await fill(device.path, sizeBytes, { runner })
    expect(onDevice.descriptors).toBe(1)
    expect((await readFile(device.path)).equals(onDevice.expected)).toBe(true)
  }
  expect(await directDescriptors(device.path)).toBe(0)
})

test('so does what needn’t outlive a power cut', async () => {
  const file = path.join(await mounted(128 * MiB), 'volume')
  const { descriptors, expected } = await fill(file, sizeBytes, { durable: false })
  expect(descriptors).toBe(1)
  expect((await readFile(file)).equals(expected)).toBe(true)
})

test('a device that was zeroed through the page cache has what was written directly behind that', async () => {
  const device = stack.use(await attachLoopDevice(path.join(folder, 'backing'), 16 * MiB))
  const [piece] = allocatePagePieces(1, MiB)
  piece?.fill(7)
  {
    const runner = { run: () => Promise.reject(new Error('no blkdiscard here')) }
    await using volume = await openVolume(device.path, { runner })
    await volume.zero(0, 16 * MiB)
    if (piece !== undefined) await volume.write(piece, 5 * MiB)
    expect(await directDescriptors(device.path)).toBe(1)
    await volume.commit(16 * MiB)
  }
  const expected = Buffer.alloc(16 * MiB)
  expected.fill(7, 5 * MiB, 6 * MiB)
  expect((await readFile(device.path)).equals(expected)).toBe(true)
})

describe('the page cache is used', () => {
  const [piece = new Uint8Array()] = allocatePagePieces(1, MiB)
  const cases: readonly (readonly [string, Uint8Array, number, OpenVolumeOptions])[] = [
    ['what is short', piece.subarray(0, 128 * KiB), 0, {}],
    ['what ends within a page', piece.subarray(0, MiB - 512), 0, {}],
    ['what belongs beside a page', piece, 512, {}],
    ['memory that begins beside a page', piece.subarray(512, 512 + 512 * KiB), 0, {}],
    ['memory of unknown place', Buffer.alloc(MiB), 0, {}],
    ['what is read next', piece, 0, { temporary: true }],
  ]
  test.each(cases)('for %s', async (_, bytes, offset, options) => {
    const file = path.join(await mounted(16 * MiB), 'volume')
    bytes.fill(9)
    await using volume = await openVolume(file, { sizeBytes: 8 * MiB, ...options })
    await volume.write(bytes, offset)
    expect(await directDescriptors(file)).toBe(0)
    await volume.commit(8 * MiB)
    const content = (await readFile(file)).subarray(offset, offset + bytes.length)
    expect(content.equals(Buffer.from(bytes))).toBe(true)
  })

  test('on a file system of which nothing is known', async () => {
    const file = path.join('/dev/shm', `direct-${process.pid}`)
    stack.defer(() => rm(file, { force: true }))
    const { expected, descriptors } = await fill(file, 4 * MiB)
    expect(descriptors).toBe(0)
    expect((await readFile(file)).equals(expected)).toBe(true)
  })
})

test('a new file has its name and its length only when it is whole', async () => {
  const folder = await mounted(16 * MiB)
  const file = path.join(folder, 'volume')
  await using volume = await openVolume(file, { sizeBytes: 8 * MiB })
  const [piece = new Uint8Array()] = allocatePagePieces(1, MiB)
  await volume.write(piece.fill(1), 0)
  const names = (await readdir(folder)).filter((name) => name !== 'lost+found')
  expect(names).toEqual([expect.stringMatching(/^\.volume\..*\.partial$/)])
  expect((await stat(path.join(folder, names[0] ?? ''))).size).toBeLessThan(8 * MiB)
  await volume.commit(8 * MiB)
  expect((await stat(file)).size).toBe(8 * MiB)
})

test('a full file system is named, and nothing is left on it', async () => {
  const place = await mounted(24 * MiB)
  const file = path.join(place, 'volume')
  const pieces = allocatePagePieces(3, MiB)
  for (const piece of pieces) piece.fill(1)
  const volume = await openVolume(file, { sizeBytes: GiB, imageId: 'abc' })
  const writing = async (): Promise<void> => {
    for (let offset = 0; offset < GiB; offset += MiB) {
      const piece = pieces[(offset / MiB) % pieces.length]
      if (piece !== undefined) await volume.write(piece, offset)
    }
  }
  await expect(writing()).rejects.toThrow(ImageTooBigError)
  expect(await directDescriptors(file)).toBe(1)
  await volume.close()
  expect(await readdir(place)).toEqual(['lost+found'])
  expect(await directDescriptors(file)).toBe(0)
})
