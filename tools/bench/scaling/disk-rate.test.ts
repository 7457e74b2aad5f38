import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { measureDisk } from './disk-rate.ts'

const MiB = 1024 ** 2

test('a rate that a disk can have, and nothing left on it', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'disk-rate-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const rate = await measureDisk(folder, 40 * MiB)
  expect(rate).toBeGreaterThan(MiB)
  expect(rate).toBeLessThan(100 * 1024 * MiB)
  expect(readdirSync(folder)).toEqual([])
})

test('a folder that is not there', async () => {
  await expect(measureDisk('/nowhere', 8 * MiB)).rejects.toThrow('ENOENT')
})
