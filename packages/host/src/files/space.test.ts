import { ImageTooBigError, ProcessExecutionError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { freeSpace, spaceError } from './space.ts'

test('free space of what is there, and of what is not there yet', async () => {
  const here = await freeSpace('/tmp')
  expect(here).toBeGreaterThan(0)
  expect(await freeSpace('/tmp/not/there/yet')).toBeGreaterThan(here / 2)
})

test.each([
  Object.assign(new Error('write'), { code: 'ENOSPC' }),
  new ProcessExecutionError({
    command: ['qemu-img'],
    endReason: 'exit',
    exitCode: 1,
    stderr: 'qemu-img: error while writing at byte 0: No space left on device',
  }),
])('no space is named with folder, need and rest', async (cause) => {
  const error = await spaceError(cause, { path: '/tmp/x/volume', neededBytes: 3 * 1024 ** 3, imageId: 'abc' })
  expect(error).toBeInstanceOf(ImageTooBigError)
  expect(error?.message).toMatch(/abc.*\/tmp\/x .*3 GiB needed, .* free/)
  expect(error?.cause).toBe(cause)
})

test('anything else is left alone', async () => {
  expect(await spaceError(Object.assign(new Error('x'), { code: 'EIO' }), { path: '/tmp/x' })).toBeUndefined()
  expect(await spaceError(undefined, { path: '/tmp/x' })).toBeUndefined()
})
