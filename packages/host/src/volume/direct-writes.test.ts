import { open, rm } from 'node:fs/promises'
import type * as FileSystem from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { MiB } from '@disk-image/core'
import { allocatePagePieces } from '@disk-image/io'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DirectWrites } from './volume.ts'

// What a healthy disk doesn't do on demand: the second descriptor is a fake one.
const write = vi.fn<() => Promise<{ bytesWritten: number }>>()
const close = vi.fn(() => Promise.resolve())
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof FileSystem>()
  return {
    ...real,
    open: (name: string, ...rest: [string]) =>
      name.startsWith('/proc/') ? Promise.resolve({ write, close }) : real.open(name, ...rest),
  }
})

const [piece = new Uint8Array()] = allocatePagePieces(1, MiB)
const file = path.join('/var/tmp', `direct-writes-${process.pid}`)
let handle: FileHandle
beforeEach(async () => {
  vi.resetAllMocks()
  close.mockResolvedValue(undefined)
  handle = await open(file, 'w')
})
afterEach(async () => {
  await handle.close()
  await rm(file)
})

test.each(['EINVAL', 'EOPNOTSUPP', 'ENOTSUP'])(
  'after %s everything is left to the page cache',
  async (code) => {
    write.mockRejectedValue(Object.assign(new Error(code), { code }))
    const direct = new DirectWrites(handle, 'block-device')
    expect(await direct.write(piece, 0)).toBe(0)
    expect(await direct.write(piece, MiB)).toBe(0)
    expect(write).toHaveBeenCalledTimes(1)
    await direct.close()
    expect(close).toHaveBeenCalledTimes(1)
  },
)

test.each(['EIO', 'ENOSPC'])('%s is told, and the next write tried', async (code) => {
  write.mockRejectedValueOnce(Object.assign(new Error(code), { code }))
  write.mockResolvedValueOnce({ bytesWritten: MiB })
  const direct = new DirectWrites(handle, 'block-device')
  await expect(direct.write(piece, 0)).rejects.toThrow(code)
  expect(await direct.write(piece, 0)).toBe(MiB)
})

test('what the kernel leaves over is told', async () => {
  write.mockResolvedValue({ bytesWritten: 8192 })
  expect(await new DirectWrites(handle, 'block-device').write(piece, 0)).toBe(8192)
})

test('two at once of a volume, three of all together', async () => {
  const answers: (() => void)[] = []
  write.mockImplementation(() => new Promise((resolve) => answers.push(() => resolve({ bytesWritten: MiB }))))
  const [first, second] = [1, 2].map(() => new DirectWrites(handle, 'block-device')) as [
    DirectWrites,
    DirectWrites,
  ]
  const writing = [first.write(piece, 0), first.write(piece, MiB)]
  await vi.waitFor(() => expect(answers).toHaveLength(2))
  expect(await first.write(piece, 2 * MiB)).toBe(0)
  writing.push(second.write(piece, 0))
  await vi.waitFor(() => expect(answers).toHaveLength(3))
  expect(await second.write(piece, 2 * MiB)).toBe(0)
  for (const answer of answers.splice(0)) answer()
  expect(await Promise.all(writing)).toEqual([MiB, MiB, MiB])
  const next = second.write(piece, 2 * MiB)
  await vi.waitFor(() => expect(answers).toHaveLength(1))
  answers[0]?.()
  expect(await next).toBe(MiB)
})

describe('a disk', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Lets a MiB take so long each time. @returns what of each went past the page cache */
  async function writeAtPace(paces: readonly number[], triesAgain?: boolean): Promise<number[]> {
    const direct = new DirectWrites(handle, 'block-device', triesAgain)
    const done: number[] = []
    for (const ms of paces) {
      write.mockImplementation(() => {
        vi.advanceTimersByTime(ms)
        return Promise.resolve({ bytesWritten: MiB })
      })
      done.push(await direct.write(piece, 0))
    }
    await direct.close()
    return done
  }

  test('that is slow is left to the page cache after sixteen writes, and tried with four after twice as much', async () => {
    expect(await writeAtPace(times(160, 11))).toEqual([
      ...times(16, MiB),
      ...times(32, 0),
      ...times(4, MiB),
      ...times(64, 0),
      ...times(4, MiB),
      ...times(40, 0),
    ])
  })

  test('that is slow is left alone for good where nothing has to be durable', async () => {
    expect(await writeAtPace(times(160, 11), false)).toEqual([...times(16, MiB), ...times(144, 0)])
  })

  test('that was slow for a moment is used again', async () => {
    const paces = [...times(16, 50), ...times(100, 2)]
    expect(await writeAtPace(paces)).toEqual([...times(16, MiB), ...times(32, 0), ...times(68, MiB)])
  })

  test('that becomes slow is left to the page cache soon', async () => {
    const done = await writeAtPace([...times(100, 2), ...times(50, 20)])
    const wrote = done.indexOf(0)
    expect(wrote).toBeGreaterThan(100)
    expect(wrote).toBeLessThan(120)
  })

  test('that is slow now and then is not', async () => {
    const paces = [...times(3, 40), ...times(40, 2), 60, ...times(20, 2), 100, 2]
    expect(await writeAtPace(paces)).toEqual(paces.map(() => MiB))
  })
})

function times(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value)
}
