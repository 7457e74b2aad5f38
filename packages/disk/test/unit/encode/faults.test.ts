import { setTimeout as sleep } from 'node:timers/promises'
import type { Disk, RandomAccessReader } from '@disk-image/core'
import { encodeDisk, type EncodeDiskOptions, openRaw } from '@disk-image/disk'
import { describe, expect, test } from 'vitest'
import { Random } from '../../random.ts'

const MiB = 1024 ** 2
const size = 4 * MiB + 1024

const passphrase = Buffer.from('secret')

const formats: readonly EncodeDiskOptions[] = [
  { format: 'luks', luks: { passphrase, iterations: 1000 } },
  {
    format: 'luks',
    luks: { passphrase, version: 2, keyDerivation: 'pbkdf2', iterations: 1000, sectorBytes: 4096 },
  },
  { format: 'qcow2' },
  { format: 'qcow2', qcow2: { compression: 'zlib' }, workers: 0 },
  { format: 'qcow2', qcow2: { compression: 'zstd' }, workers: 2 },
  { format: 'vmdk', workers: 0 },
  { format: 'vmdk', workers: 2 },
  { format: 'vmdk', subformat: 'monolithicSparse' },
  { format: 'vpc' },
  { format: 'vpc', subformat: 'fixed' },
  { format: 'vhdx' },
  { format: 'vhdx', subformat: 'fixed' },
  { format: 'vdi' },
  { format: 'parallels' },
]

const random = new Random(1)
const noise = new Uint8Array(size).map(() => random.below(256))

/** A disk that fails from a byte on. */
function failingReader(from: number, fail: (read: Uint8Array) => Uint8Array): RandomAccessReader {
  const read = (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = noise.slice(offset, offset + length)
    return offset + length > from ? sleep(1).then(() => fail(bytes)) : Promise.resolve(bytes)
  }
  return { size, read }
}

/** A disk all of which is stored. */
async function diskOf(reader: RandomAccessReader): Promise<Disk> {
  const disk = await openRaw(reader)
  return {
    ...disk,
    // oxlint-disable-next-line typescript/require-await -- as a disk's are
    async *extents() {
      yield* disk.storedExtents()
    },
  }
}

describe.each(formats)('%j', (options) => {
  const encode = async (reader: RandomAccessReader): ReturnType<typeof encodeDisk> =>
    encodeDisk(await diskOf(reader), options)
  /** Where that is without which nobody takes the file for an image. */
  const tellingPlace = (bytes = 0): number =>
    options.format === 'vpc' && options.subformat === 'fixed' ? bytes - 512 : 0
  const writtenPlaces: number[] = []
  const target = {
    write: (_: Uint8Array, offset: number) => {
      writtenPlaces.push(offset)
      return Promise.resolve()
    },
    zero: () => Promise.resolve(),
  }
  const drain = async (image: AsyncIterable<Uint8Array>): Promise<number> => {
    let bytes = 0
    for await (const chunk of image) bytes += chunk.length
    return bytes
  }

  test.each([0, size - 1])('a read error at byte %d ends both ways, without a head', async (from) => {
    const image = await encode(
      failingReader(from, () => {
        throw new Error('EIO')
      }),
    )
    await expect(drain(image.open())).rejects.toThrow('EIO')
    writtenPlaces.length = 0
    await expect(image.writeTo(target)).rejects.toThrow('EIO')
    expect(writtenPlaces).not.toContain(tellingPlace(image.sizeBytes))
  })

  test('a disk that became shorter is an error', async () => {
    const image = await encode(failingReader(3 * MiB, (bytes) => bytes.subarray(0, 0)))
    await expect(drain(image.open())).rejects.toMatchObject({ code: 'DISK_CHANGED' })
    writtenPlaces.length = 0
    await expect(image.writeTo(target)).rejects.toMatchObject({ code: 'DISK_CHANGED' })
    expect(writtenPlaces).not.toContain(tellingPlace(image.sizeBytes))
  })

  test('an abort ends both ways with its reason, and a reader that stops ends the work', async () => {
    const reason = new Error('enough')
    const image = await encode(failingReader(size, (bytes) => bytes))
    const stopAt = (completed: number): { signal: AbortSignal; onProgress(): void } => {
      const abort = new AbortController()
      let calls = 0
      const onProgress = (): void => {
        calls += 1
        if (calls > completed) abort.abort(reason)
      }
      return { signal: abort.signal, onProgress }
    }
    await expect(drain(image.open(stopAt(0)))).rejects.toBe(reason)
    writtenPlaces.length = 0
    await expect(image.writeTo(target, stopAt(2))).rejects.toBe(reason)
    expect(writtenPlaces).not.toContain(tellingPlace(image.sizeBytes))
    await expect(image.writeTo(target, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    let stopped: Uint8Array | undefined
    for await (const chunk of image.open()) {
      stopped = chunk
      break
    }
    expect(stopped?.length).toBeGreaterThan(0)
  })

  test('what the target refuses is an error, and the head is not written', async () => {
    const image = await encode(failingReader(size, (bytes) => bytes))
    const places: number[] = []
    const failing = {
      ...target,
      write: (_: Uint8Array, offset: number) => {
        places.push(offset)
        return places.length === 3 ? Promise.reject(new Error('ENOSPC')) : Promise.resolve()
      },
    }
    await expect(image.writeTo(failing)).rejects.toThrow('ENOSPC')
    expect(places).toHaveLength(3)
    expect(places).not.toContain(tellingPlace(image.sizeBytes))
  })

  test('the length that is told is the length that comes, the second time as well', async () => {
    const image = await encode(failingReader(size, (bytes) => bytes))
    const bytes = await drain(image.open())
    expect([bytes, image.temporaryBytes]).toEqual([image.sizeBytes ?? bytes, 0])
    expect(await drain(image.open())).toBe(bytes)
    expect(await image.writeTo(target)).toBe(bytes)
  })
})
