import { gunzipSync } from 'node:zlib'
import { encodeDisk, gzipImage, openRaw } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { readerOf } from '../formats/read-all.ts'

const MiB = 1024 ** 2

async function join(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const list: Buffer[] = []
  for await (const chunk of chunks) list.push(Buffer.from(chunk))
  return Buffer.concat(list)
}

test.each([0, 1, MiB, 7 * MiB + 5])(
  'a file of %d bytes is a row of gzip members, the same each time',
  async (bytes) => {
    const random = new Random(bytes)
    const content = new Uint8Array(bytes)
    for (let at = 0; at < bytes; at += 1 + random.below(90)) content[at] = at
    content.fill(0, 2 * MiB, 5 * MiB)
    const disk = await openRaw(readerOf(content), {
      holes: bytes > 4 * MiB ? [{ offset: 2 * MiB, length: MiB }] : [],
    })
    const raw = await encodeDisk(disk, { format: 'raw' })
    const image = gzipImage(raw, { workers: 2 })
    expect(image).toMatchObject({ format: 'raw', sizeBytes: undefined, temporaryBytes: 0 })
    const packed = await join(image.open())
    expect(gunzipSync(packed).equals(content)).toBe(true)
    expect(packed.equals(await join(gzipImage(raw, { workers: 0 }).open()))).toBe(true)
    const written = Buffer.alloc(packed.length)
    const places: number[] = []
    const target = {
      write: (chunk: Uint8Array, offset: number) => {
        places.push(offset)
        return Promise.resolve(written.set(chunk, offset))
      },
      zero: () => Promise.reject(new Error('nothing is zero')),
    }
    expect(await image.writeTo(target)).toBe(packed.length)
    expect(written.equals(packed)).toBe(true)
    expect([places.length, places.at(-1)]).toEqual([Math.max(1, Math.ceil(bytes / MiB)), 0])
  },
)

test('a source that fails, and an abort, end it', async () => {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(3 * MiB)
    await Promise.resolve()
    throw new Error('EIO')
  }
  const image = gzipImage({ format: 'raw', temporaryBytes: 0, open: chunks }, { workers: 0 })
  await expect(join(image.open())).rejects.toThrow('EIO')
  const reason = new Error('enough')
  await expect(join(image.open({ signal: AbortSignal.abort(reason) }))).rejects.toBe(reason)
})
