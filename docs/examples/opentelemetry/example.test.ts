import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createDirectoryImageService } from '@disk-image/image-utils'
import { expect, test } from 'vitest'
import { runExample } from '../run.testing.ts'

test('spans and metrics of a transfer are on the console', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  try {
    const store = path.join(directory, 'store')
    const { id } = await createDirectoryImageService({ directory: store }).create(
      {},
      { name: 'one', disk_format: 'raw', container_format: 'bare' },
      {
        data: {
          async *open() {
            yield new Uint8Array(65536).fill(1)
          },
        },
      },
    )
    const { stdout, exitCode } = await runExample('opentelemetry', [
      store,
      id,
      path.join(directory, 'volume'),
    ])
    expect(exitCode).toBe(0)
    expect(stdout).toContain("name: 'disk_image.image_to_volume.download'")
    expect(stdout).toContain("'disk_image.io.written': 65536")
    expect(stdout).toContain("name: 'disk_image.operation.duration'")
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
