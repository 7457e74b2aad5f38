import { expect, test } from 'vitest'
import { parseHardLimits, withinLimits } from './own-limits.ts'

const limits = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            60                   seconds
Max file size             4096                 1048576              bytes
Max data size             unlimited            unlimited            bytes
Max address space         unlimited            unlimited            bytes
`

test('hard limits are read; what is unlimited, or not known, is none', () => {
  expect(parseHardLimits(limits)).toEqual({ cpuSeconds: 60, fileSizeBytes: 1_048_576 })
  expect(parseHardLimits('')).toEqual({})
})

test('no limit is above this process’s own hard one', () => {
  const own = parseHardLimits(limits)
  const wanted = { cpuSeconds: 120, addressSpaceBytes: 2 ** 30, fileSizeBytes: 2 ** 40 }
  expect(withinLimits(wanted, own)).toEqual({
    cpuSeconds: 59,
    addressSpaceBytes: 2 ** 30,
    fileSizeBytes: 1_048_576,
  })
  expect(withinLimits({ cpuSeconds: 5 }, own)).toEqual({ cpuSeconds: 5 })
  expect(withinLimits({ cpuSeconds: 5 }, { cpuSeconds: 0 })).toEqual({ cpuSeconds: 0 })
})
