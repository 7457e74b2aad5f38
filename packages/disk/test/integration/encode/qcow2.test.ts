import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Disk, EncodedImage, Extent } from '@disk-image/core'
import { createEncodeWorkers, encodeDisk, openDisk, openRaw, type Qcow2EncodeOptions } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { streamInto } from '../../stream-into.ts'
import { readerOf } from '../../unit/formats/read-all.ts'
import { openReader, tool } from '../formats/tools.ts'

const KiB = 1024
const MiB = 1024 ** 2
const TiB = 1024 ** 4

const compressions = ['none', 'none', 'zlib', 'zstd'] as const

/** Data of all kinds at random places: noise that can't be compressed, text, single bytes, zeros that are stored. */
function randomContent(random: Random, sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes)
  for (let count = random.below(40); count > 0; count -= 1) {
    const start = random.below(sizeBytes)
    const end = Math.min(sizeBytes, start + random.below(random.pick([3, 5000, 700 * KiB, 3 * MiB])))
    const step = random.pick([1, 1, 16, 1000])
    let value = 0
    for (let at = start; at < end; at += 1) {
      if (at % step === 0) value = random.below(256)
      content[at] = value
    }
  }
  return content
}

async function streamed(image: EncodedImage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

async function written(image: EncodedImage, room: number): Promise<Buffer> {
  // Something else was there before.
  const bytes = Buffer.alloc(room, 0xee)
  const length = await image.writeTo({
    write: (chunk, offset) => Promise.resolve(bytes.set(chunk, offset)),
    zero: (offset, count) => Promise.resolve(void bytes.fill(0, offset, offset + count)),
  })
  return bytes.subarray(0, length)
}

async function withFolder(use: (file: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'disk-image-encode-'))
  try {
    await use((name) => path.join(folder, name))
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Encodes into a spool. */
async function spooled(disk: Disk, qcow2: Qcow2EncodeOptions, file: string): Promise<Buffer> {
  await using handle = await open(file, 'w+')
  const spool = {
    file: handle,
    write: async (chunk: Uint8Array, offset: number) =>
      void (await handle.write(chunk, 0, chunk.length, offset)),
  }
  const image = await encodeDisk(disk, { format: 'qcow2', qcow2, spool, workers: 0 })
  const bytes = await streamed(image)
  expect(image.temporaryBytes).toBeGreaterThanOrEqual((await handle.stat()).size)
  expect((await streamed(image)).equals(bytes)).toBe(true)
  return bytes
}

test('a qcow2 of any map is what qemu-img, our reader and our stream decoder read, the same in each way', async () => {
  await using workers = createEncodeWorkers(2)
  const runs = Number(process.env['QCOW2_ENCODE_RUNS'] ?? 12)
  await withFolder(async (file) => {
    for (let seed = 0; seed < runs; seed += 1) {
      const random = new Random(seed)
      const qcow2: Qcow2EncodeOptions = {
        compression: compressions[seed % 4],
        version: seed % 4 === 3 ? 3 : random.pick([2, 3]),
        clusterSizeBytes: 2 ** random.pick([12, 12, 13, 16, 16, 18, 21]),
      }
      const content = randomContent(random, random.pick([1, 700, 3 * MiB, 20 * MiB + 3, 30 * MiB]))
      const name = `${seed} ${JSON.stringify(qcow2)} ${content.length}`
      const disk = await openRaw(readerOf(content))
      const image = await encodeDisk(disk, { format: 'qcow2', qcow2, workers })
      const bytes = await streamed(image)
      expect(image.sizeBytes ?? bytes.length, name).toBe(bytes.length)
      expect((await written(image, bytes.length)).equals(bytes), name).toBe(true)
      const unmeasured = await encodeDisk(disk, { format: 'qcow2', qcow2, workers, measure: false })
      expect(unmeasured.sizeBytes).toBeUndefined()
      expect((await written(unmeasured, bytes.length)).equals(bytes), name).toBe(true)
      expect((await streamed(unmeasured)).equals(bytes), name).toBe(true)
      const again = qcow2.compression === 'none' ? bytes : await spooled(disk, qcow2, file('spool'))
      expect(again.equals(bytes), name).toBe(true)
      await using raw = await open(file('raw'), 'w')
      await raw.write(content)
      await raw.truncate(Math.ceil(content.length / 512) * 512)
      await using target = await open(file('image'), 'w')
      await target.write(bytes)
      await tool('qemu-img', 'check', '-q', '-f', 'qcow2', file('image'))
      await tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'qcow2', file('raw'), file('image'))
      await using ours = await openDisk(readerOf(bytes), 'qcow2')
      const read = Buffer.from(await ours.read(0, ours.size))
      expect(read.subarray(0, content.length).equals(content), name).toBe(true)
      const files = { spool: file('stream'), target: file('ours') }
      await streamInto(random, 'qcow2', bytes, files)
      await tool('cmp', file('raw'), file('ours'))
    }
  })
})

test('a stream decoder takes each cluster of data straight to its place', async () => {
  const random = new Random(1)
  const content = randomContent(random, 30 * MiB)
  const bytes = await streamed(await encodeDisk(await openRaw(readerOf(content)), { format: 'qcow2' }))
  await withFolder(async (file) => {
    const files = { spool: file('spool'), target: file('target') }
    const { spooledBytes } = await streamInto(random, 'qcow2', bytes, files)
    // Header, refcounts, L1, the L2 table, and the cluster behind it where both come in one chunk.
    expect(spooledBytes).toBeLessThanOrEqual(6 * 64 * KiB)
  })
})

const libqcow = `
import pyqcow, sys
file = pyqcow.file()
file.open(sys.argv[1])
with open(sys.argv[2], 'wb') as target:
    target.write(file.read_buffer_at_offset(file.get_media_size(), 0))
`

test('libqcow reads the same', async () => {
  const found = promisify(execFile)('/usr/bin/python3', ['-c', 'import pyqcow'])
  await expect(found, 'apt-get install -y python3-libqcow').resolves.toBeDefined()
  const content = randomContent(new Random(3), 12 * MiB)
  await withFolder(async (file) => {
    for (const qcow2 of [{ version: 2 }, { version: 3 }, { compression: 'zlib', version: 2 }] as const) {
      const bytes = await streamed(
        await encodeDisk(await openRaw(readerOf(content)), { format: 'qcow2', qcow2 }),
      )
      await writeFile(file('image'), bytes)
      await promisify(execFile)('/usr/bin/python3', ['-c', libqcow, file('image'), file('target')])
      expect((await readFile(file('target'))).equals(content), JSON.stringify(qcow2)).toBe(true)
    }
  })
})

test('two disks with one content make one file, whatever their extents and the number of threads', async () => {
  const content = randomContent(new Random(5), 9 * MiB)
  for (const compression of ['zlib', 'zstd'] as const) {
    const raw = await openRaw(readerOf(content))
    const stored: Disk = {
      ...raw,
      // oxlint-disable-next-line typescript/require-await -- as a disk's are
      async *extents() {
        yield { offset: 0, length: raw.size, kind: 'data' as const }
      },
    }
    const encode = async (disk: Disk, workers: number): Promise<Buffer> =>
      streamed(await encodeDisk(disk, { format: 'qcow2', qcow2: { compression }, workers }))
    const first = await encode(raw, 0)
    const others = await Promise.all([encode(stored, 1), encode(raw, 3)])
    for (const other of others) expect(first.equals(other)).toBe(true)
  }
})

test('16 TiB with data here and there take as little as that', async () => {
  const places = [0, 3 * TiB - 512, 9 * TiB + 77 * MiB, 16 * TiB - 70_000]
  const extents: Extent[] = []
  let end = 0
  for (const offset of places) {
    if (offset > end) extents.push({ offset: end, length: offset - end, kind: 'hole' })
    extents.push({ offset, length: 70_000, kind: 'data' })
    end = offset + 70_000
  }
  const disk = await openRaw(
    {
      size: 16 * TiB,
      read: (offset, length) => Promise.resolve(new Uint8Array(length).fill(offset === 0 ? 1 : 2)),
    },
    { holes: extents.filter(({ kind }) => kind === 'hole') },
  )
  await withFolder(async (file) => {
    for (const compression of ['none', 'zlib'] as const) {
      const image = await encodeDisk(disk, { format: 'qcow2', qcow2: { compression }, workers: 1 })
      const bytes = await streamed(image)
      expect(bytes.length).toBeLessThan(2 * MiB)
      expect(image.sizeBytes ?? bytes.length).toBe(bytes.length)
      await using target = await open(file(compression), 'w')
      await target.write(bytes)
      await tool('qemu-img', 'check', '-q', '-f', 'qcow2', file(compression))
      await using reader = await openReader(file(compression))
      await using ours = await openDisk(reader, 'qcow2')
      for (const place of places) {
        const read = await ours.read(place, 70_000)
        expect(read.every((byte) => byte === (place === 0 ? 1 : 2))).toBe(true)
      }
    }
    await tool('qemu-img', 'compare', '-q', '-f', 'qcow2', '-F', 'qcow2', file('none'), file('zlib'))
  })
})
