import type { FileHandle } from 'node:fs/promises'
import { MiB } from '@disk-image/core'
import { expect, test } from 'vitest'
import { BackgroundSync } from './background-sync.ts'

/** Only a disk that breaks can fail here: it is played. */
function fakeHandle(datasync: () => Promise<void>): FileHandle {
  return { datasync } as unknown as FileHandle
}

test('every 64 MiB, one at a time', async () => {
  let calls = 0
  const ends: (() => void)[] = []
  const sync = new BackgroundSync(
    fakeHandle(() => {
      calls += 1
      return new Promise((resolve) => {
        ends.push(resolve)
      })
    }),
  )
  sync.wrote(63 * MiB)
  expect(calls).toBe(0)
  sync.wrote(MiB)
  sync.wrote(100 * MiB)
  expect(calls).toBe(1)
  ends[0]?.()
  await sync.settle()
  sync.wrote(1)
  expect(calls).toBe(2)
})

test('an error of the disk is kept until somebody asks', async () => {
  const broken = new Error('EIO')
  const sync = new BackgroundSync(fakeHandle(() => Promise.reject(broken)))
  sync.wrote(64 * MiB)
  await expect(sync.settle()).rejects.toBe(broken)
  await expect(sync.settle()).rejects.toBe(broken)
})
