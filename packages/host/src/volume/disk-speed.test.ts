import type { FileHandle } from 'node:fs/promises'
import { MiB } from '@disk-image/core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { BackgroundSync } from './disk-speed.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** Disks of a certain speed, or that break, can't be had: they are played. */
function fakeDisk(): { readonly handle: FileHandle; calls(): number; end(afterMs: number): void } {
  let calls = 0
  let resolve: (() => void) | undefined
  const datasync = (): Promise<void> => {
    calls += 1
    return new Promise((resolved) => {
      resolve = resolved
    })
  }
  return {
    handle: { datasync } as unknown as FileHandle,
    calls: () => calls,
    end: (afterMs) => {
      vi.advanceTimersByTime(afterMs)
      resolve?.()
    },
  }
}

test('a quick disk every 16 MiB, one at a time', async () => {
  const disk = fakeDisk()
  const sync = new BackgroundSync(disk.handle)
  sync.wrote(15 * MiB)
  expect(disk.calls()).toBe(0)
  sync.wrote(MiB)
  sync.wrote(100 * MiB)
  expect(disk.calls()).toBe(1)
  disk.end(80)
  await sync.settle()
  sync.wrote(1)
  expect(disk.calls()).toBe(2)
  disk.end(400)
  await sync.settle()
  sync.wrote(16 * MiB)
  expect(disk.calls()).toBe(3)
})

test('a slow disk every 64 MiB, until it is quick', async () => {
  const disk = fakeDisk()
  const sync = new BackgroundSync(disk.handle)
  sync.wrote(16 * MiB)
  disk.end(100)
  await sync.settle()
  sync.wrote(63 * MiB)
  expect(disk.calls()).toBe(1)
  sync.wrote(MiB)
  expect(disk.calls()).toBe(2)
  disk.end(100)
  await sync.settle()
  sync.wrote(16 * MiB)
  expect(disk.calls()).toBe(3)
})

test('an error of the disk is kept until somebody asks', async () => {
  const broken = new Error('EIO')
  const sync = new BackgroundSync({ datasync: () => Promise.reject(broken) })
  sync.wrote(64 * MiB)
  await expect(sync.settle()).rejects.toBe(broken)
  await expect(sync.settle()).rejects.toBe(broken)
})
