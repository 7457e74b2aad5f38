import { randomBytes, randomInt } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
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

describe('a disk of 1 TiB with little in it costs what is in it', () => {
  test.each(['raw', 'qcow2'] as const)(
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

test('logical sectors of 4096 bytes, which qemu-img does not read, are read', async () => {
  const [disk, image] = [work.file('4k.raw'), work.file('4k.vhdx')]
  await makeScatteredDisk(disk, 8 * MiB)
  await tool('qemu-img', 'convert', '-q', '-f', 'raw', '-O', 'vhdx', disk, image)
  const bytes = await readFile(image)
  // The table of metadata names each item by its identity, then its place behind the table's start.
  const entry = bytes.indexOf(Buffer.from('1dbf41816fa90947ba47f233a8faab5f', 'hex'))
  bytes.writeUInt32LE(4096, bytes.lastIndexOf('metadata', entry) + bytes.readUInt32LE(entry + 16))
  await writeFile(image, bytes)
  await expect(tool('qemu-img', 'info', '-f', 'vhdx', image)).rejects.toThrow(/not supported/i)
  const imageId = await work.add(image, { disk_format: 'vhdx', container_format: 'bare' })
  const imageUtils = createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir },
  )
  const volume = work.file('4k.volume')
  await imageUtils.imageToVolume({ imageId, volume })
  expect(await sha256(volume)).toBe(await sha256(disk))
})
