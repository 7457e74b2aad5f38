import { describe, expect, test } from 'vitest'
import { examineFile, judge } from '../../.vitepress/theme/inspect/examine.ts'
import { examples } from '../../.vitepress/theme/inspect/examples.ts'
import { describePart, describeSize, wordsOf } from '../../.vitepress/theme/inspect/format.ts'
import {
  countSectors,
  createRecordingReader,
  drawMap,
  mergeRanges,
} from '../../.vitepress/theme/inspect/recording-reader.ts'

const { signal } = new AbortController()

describe('what was read', () => {
  test('a reader remembers what it gave, which is less at the end', async () => {
    const reader = createRecordingReader(new Blob([new Uint8Array([1, 2, 3, 4])]))
    expect(await reader.read(1, 2)).toEqual(new Uint8Array([2, 3]))
    expect(await reader.read(3, 9)).toEqual(new Uint8Array([4]))
    expect(reader.reads).toEqual([
      { offset: 1, length: 2 },
      { offset: 3, length: 1 },
    ])
  })

  test('ranges that touch or overlap become one', () => {
    const ranges = [
      { offset: 20, length: 5 },
      { offset: 0, length: 10 },
      { offset: 10, length: 2 },
      { offset: 21, length: 1 },
      { offset: 50, length: 0 },
    ]
    expect(mergeRanges(ranges)).toEqual([
      { offset: 0, length: 12 },
      { offset: 20, length: 5 },
    ])
  })

  test('sectors that two ranges share count once', () => {
    expect(
      countSectors([
        { offset: 0, length: 100 },
        { offset: 200, length: 400 },
        { offset: 4096, length: 1 },
      ]),
    ).toBe(3)
  })

  test('the map has cells of whole sectors, and says how much of each was read', () => {
    const cells = drawMap([{ offset: 512, length: 1536 }], 4096 + 100, 4)
    expect(cells).toEqual([
      { offset: 0, length: 1536, readFraction: 1024 / 1536 },
      { offset: 1536, length: 1536, readFraction: 512 / 1536 },
      { offset: 3072, length: 1124, readFraction: 0 },
    ])
    expect(drawMap([], 0, 4)).toEqual([])
  })
})

describe('the files that visitors may try', () => {
  const outcomes = [
    ['sound.qcow2', true, []],
    ['backing-file.qcow2', false, ['qcow2-backing-file']],
    ['foreign.vmdk', false, ['vmdk-create-type']],
  ] as const

  test.each(outcomes)('%s', async (name, safe, rules) => {
    const example = examples.find(({ fileName }) => fileName === name)
    const examined = await examineFile(example?.make() ?? new Blob(), name, signal)
    expect(examined.result.safe).toBe(safe)
    const refusals = judge(examined.result, { claimedFormat: '', volumeSizeGiB: undefined })
    expect(refusals.map(({ rule }) => rule)).toEqual(expect.arrayContaining([...rules]))
    expect(refusals.length > 0).toBe(!safe)
    expect(examined.bytesRead).toBeGreaterThan(0)
  })

  test('the bytes at a finding are shown from the start of their row', async () => {
    const examined = await examineFile(examples[1]?.make() ?? new Blob(), 'x', signal)
    const [first] = examined.checks
    expect(first?.name).toBe('backing-file')
    expect(first?.bytes[0]).toMatchObject({ offset: 0, text: expect.stringMatching(/^QFI\./) })
  })
})

test('figures are said exactly, and parts never as nothing or all', () => {
  expect(describeSize(1)).toBe('1 byte')
  expect(describeSize(1_048_576)).toBe('1 MiB (1\u202f048\u202f576 bytes)')
  expect(describePart(0, 10)).toBe('0 %')
  expect(describePart(1, 1e9)).toBe('less than 0.01 %')
  expect(describePart(1e9 - 1, 1e9)).toBe('more than 99.99 %')
  expect(describePart(1, 3)).toBe('33 %')
  expect(['backingFileFormat', 'clusterSizeBytes', 'extendedL2'].map(wordsOf)).toEqual([
    'backing file format',
    'cluster size',
    'extended L2',
  ])
})
