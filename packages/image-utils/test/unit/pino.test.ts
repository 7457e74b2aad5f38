import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils } from '../../src/index.ts'

test('a pino logger fits as it is: message, fields, and its own bindings', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'image-utils-pino-'))
  try {
    const lines: Record<string, unknown>[] = []
    const stream = new Writable({
      write: (line, _encoding, callback) => {
        lines.push(JSON.parse(String(line)) as Record<string, unknown>)
        callback()
      },
    })
    const logger = pino({ level: 'debug' }, stream).child({ service: 'volumes' })
    const imageService = createDirectoryImageService({ directory: path.join(directory, 'store') })
    const imageUtils = createImageUtils({ imageService, logger })
    const { id } = await imageService.create(
      {},
      { name: 'one', disk_format: 'raw', container_format: 'bare' },
      {
        data: {
          async *open() {
            yield new Uint8Array(4096)
          },
        },
      },
    )
    await imageUtils.fetch({}, imageService, id, path.join(directory, 'file'), { projectId: 'p' })
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 30,
        msg: 'Image fetched',
        service: 'volumes',
        imageId: id,
        bytes: 4096,
        projectId: 'p',
      }),
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
