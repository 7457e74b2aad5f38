import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createDirectoryImageService } from '@disk-image/image-utils/directory'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { downloadPartial } from './download-partial.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'download-partial-'))
})
afterAll(() => rm(folder, { recursive: true }))

test.each([
  ['a beginning', 100_000, false],
  ['all of it', 300_000, false],
  ['zeros where a power cut kept the length alone', 200_000, true],
])('%s that was left: the image is there in the end', async (_, bytes, isLost) => {
  const content = randomBytes(300_000)
  const imageService = createDirectoryImageService({ directory: path.join(folder, 'store') })
  async function* open(): AsyncGenerator<Uint8Array> {
    yield content
  }
  const metadata = { disk_format: 'raw', container_format: 'bare' }
  const record = await imageService.create({}, metadata, { data: { open } })
  const file = path.join(folder, `${record.id}.partial`)
  await writeFile(file, isLost ? Buffer.alloc(bytes) : content.subarray(0, bytes))
  const continued = await downloadPartial(
    file,
    { imageService, context: {}, record },
    {},
    async () => undefined,
  )
  expect(continued).toBe(isLost ? 0 : bytes)
  expect((await readFile(file)).equals(content)).toBe(true)
})
