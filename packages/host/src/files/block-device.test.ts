import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { sizeByProbing } from './block-device.ts'

test.each([0, 1, 2, 3, 4095, 4096, 5_000_001, 2 ** 40 + 512])(
  '%s bytes are found by reading',
  async (size) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'probe-'))
    const file = path.join(folder, 'file')
    await writeFile(file, '')
    await truncate(file, size)
    const handle = await open(file, 'r')
    try {
      expect(await sizeByProbing(handle)).toBe(size)
    } finally {
      await handle.close()
      await rm(folder, { recursive: true })
    }
  },
)
