import { describe, expect, test } from 'vitest'
import { inspect } from '@disk-image/format-policy/inspector'
import { type HostileImage, hostileImages, readImage } from '../memory/hostile-images.ts'

/** Tail, metadata and what lies across the border of the head may be read twice. */
const readTwiceBytes = 262_144

async function cost(image: HostileImage): Promise<{ readonly reads: number; readonly bytes: number }> {
  let reads = 0
  let bytes = 0
  let longest = 0
  await inspect({
    size: image.size,
    async read(offset, length) {
      reads += 1
      bytes += length
      longest = Math.max(longest, length)
      return readImage(image, new Uint8Array(Math.min(length, image.size - offset)), offset)
    },
  })
  expect(longest).toBeLessThanOrEqual(1024 ** 2)
  return { reads, bytes }
}

describe('no byte is read again and again', () => {
  test.each(hostileImages.map((image) => [image.name, image] as const))('%s', async (_, image) => {
    const { reads, bytes } = await cost(image)
    expect(bytes).toBeLessThanOrEqual(image.size + readTwiceBytes)
    expect(reads).toBeLessThanOrEqual(64 + image.size / 512)
  })

  test('of a raw disk of any size, the start and the end are read', async () => {
    for (const size of [2 ** 20, 2 ** 30, 2 ** 40, 2 ** 52]) {
      const { reads, bytes } = await cost({ name: 'raw', size, head: new Uint8Array(512) })
      expect({ reads, bytes }).toEqual({ reads: 2, bytes: 131_072 + 4096 })
    }
  })
})
