import { randomBytes, randomInt } from 'node:crypto'
import { copyFile, open, readFile, stat } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createImageUtils, ImageUnacceptableError } from '../../src/index.ts'
import { withFileReader } from '../../src/sources/file-reader.ts'
import { copyVhdx } from '@disk-image/disk'
import { fingerprint } from './corpus.ts'
import { createWorkspace, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const GiB = 1024 * MiB
const TiB = 1024 * GiB
let work: Workspace

beforeAll(async () => {
  work = await createWorkspace()
})
afterAll(() => work[Symbol.asyncDispose]())

/** A disk with data at random places. */
async function makeScatteredDisk(file: string, sizeBytes: number): Promise<void> {
  const handle = await open(file, 'w')
  try {
    await handle.truncate(sizeBytes)
    for (let count = 0; count < 12; count += 1) {
      const data = randomBytes(randomInt(1, 300_000))
      const offset = randomInt(0, sizeBytes - Math.min(sizeBytes, data.length) + 1)
      await handle.write(data, 0, Math.min(data.length, sizeBytes - offset), offset)
    }
  } finally {
    await handle.close()
  }
}

/** Reads a VHDX with our own reader, into a file. */
async function readInto(file: string, target: string): Promise<void> {
  const handle = await open(target, 'w')
  let next = 0
  const inOrder = (offset: number, length: number): void => {
    expect(offset).toBe(next)
    next += length
  }
  try {
    const { sizeBytes } = await withFileReader(file, (reader) =>
      copyVhdx(
        reader,
        {
          data: async (offset, bytes) => {
            inOrder(offset, bytes.length)
            await handle.write(bytes, 0, bytes.length, offset)
          },
          zero: async (offset, length) => inOrder(offset, length),
        },
        { imageId: 'vhdx' },
      ),
    )
    expect(next).toBe(sizeBytes)
    await handle.truncate(sizeBytes)
  } finally {
    await handle.close()
  }
}

test('a fingerprint is that of the bytes, wherever the file has holes', async () => {
  const [sparse, dense] = [work.file('sparse'), work.file('dense')]
  const handle = await open(sparse, 'w')
  await handle.truncate(65 * MiB)
  // Two ranges of data in one block, and one across two.
  for (const offset of [4096, 40_960, 10 * MiB + 61_440])
    await handle.write(randomBytes(8192), 0, 8192, offset)
  await handle.close()
  await tool('cp', '--sparse=never', sparse, dense)
  expect(await fingerprint(sparse)).toBe(await fingerprint(dense))
})

describe('our own reader gives what qemu-img does', () => {
  test.each([
    [3 * MiB, ''],
    [40 * MiB, 'block_size=1M'],
    [40 * MiB, 'block_size=8M,log_size=4M'],
    [40 * MiB, 'subformat=fixed,block_size=4M'],
    [77 * MiB + 512, 'block_size=2M,block_state_zero=off'],
    // Bitmaps stand between the blocks of a large disk.
    [9 * GiB + 4096, 'block_size=1M'],
  ])('%d bytes, %s', async (sizeBytes, options) => {
    const [raw, image, ours] = [work.file('raw'), work.file('image.vhdx'), work.file('ours')]
    await makeScatteredDisk(raw, sizeBytes)
    const choice = options === '' ? [] : ['-o', options]
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vhdx', ...choice, raw, image)
    await readInto(image, ours)
    expect(await fingerprint(ours)).toBe(await fingerprint(raw))
  })
})

describe('a disk of 1 TiB with little in it costs what is in it', () => {
  test.each(['raw', 'qcow2'])(
    'onto %s',
    async (volumeFormat) => {
      const image = work.file('large.vhdx')
      await tool('qemu-img', 'create', '-q', '-f', 'vhdx', image, '1T')
      const data = work.file('data')
      await makeScatteredDisk(data, MiB)
      const write = `write -s ${data} ${700 * GiB} 1M`
      await tool('qemu-io', '-f', 'vhdx', '-c', write, image)
      const imageId = await work.add(image, { disk_format: 'vhdx', container_format: 'bare' })
      const imageUtils = createImageUtils(
        { imageService: work.store },
        { imageConversionDir: work.conversionDir },
      )
      const volume = work.file(`large.${volumeFormat}`)
      const report = await imageUtils.imageToVolume({ imageId, volume, volumeFormat })
      expect(report.virtualSizeBytes).toBe(TiB)
      const { blocks } = await stat(volume)
      expect(blocks * 512).toBeLessThan(64 * MiB)
      const back = work.file('back')
      const part = `driver=raw,offset=${700 * GiB},size=${MiB},file.driver=${volumeFormat},file.file.driver=file,file.file.filename=${volume}`
      await tool('qemu-img', 'convert', '--image-opts', part, '-O', 'raw', back)
      expect(await sha256(back)).toBe(await sha256(data))
      expect(await work.leftovers()).toEqual([])
    },
    60_000,
  )
})

describe('a damaged one is refused, without much reading', () => {
  const KiB = 1024
  const bat = (entry: number): number => 3 * MiB + entry * 8
  test.each([
    ['a state of a disk with a parent', bat(0), [7]],
    ['a block within the header', bat(0), [6, 0, 0, 0, 0, 0, 0, 0]],
    ['a block behind the end', bat(0), [6, 0, 0, 0, 0xff, 0xff, 0, 0]],
    ['no region table', 192 * KiB, [0]],
    ['too many regions', 192 * KiB + 8, [0xff, 0xff, 0xff, 0xff]],
    ['no metadata table', 'metadata', [0]],
  ])('%s', async (_, offset, bytes) => {
    const [raw, image, broken] = [work.file('raw'), work.file('image.vhdx'), work.file('broken.vhdx')]
    await tool('dd', 'if=/dev/urandom', `of=${raw}`, 'bs=1M', 'count=2', 'status=none')
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vhdx', '-o', 'block_size=1M', raw, image)
    await copyFile(image, broken)
    const handle = await open(broken, 'r+')
    const place = typeof offset === 'number' ? offset : (await readFile(image)).indexOf(offset)
    await handle.write(Buffer.from(bytes), 0, bytes.length, place)
    await handle.close()
    await expect(readInto(broken, work.file('ours'))).rejects.toThrow(ImageUnacceptableError)
  })
})
