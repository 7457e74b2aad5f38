import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'

requireTool('qemu-img', 'qemu-utils')

test('transfers with cuts, wrong digests and cancels leave nothing in their process', async () => {
  const script = fileURLToPath(new URL('../worst-day/soak.ts', import.meta.url))
  const words = ['--conditions=@disk-image/source', script, '--seed', '1', '--transfers', '40']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, words)
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toMatchObject({ transfers: 40 })
})
