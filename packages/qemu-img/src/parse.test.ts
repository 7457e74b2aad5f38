import { ImageError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { parseCheck } from './check.ts'
import { parseProgress } from './context.ts'
import { QemuImgOutputError } from './errors.ts'
import { parseInfo } from './info.ts'
import { parseMap } from './map.ts'
import { parseMeasurement } from './measure.ts'
import { parseVersion } from './create-qemu-img.ts'

import * as fc from 'fast-check'

test('info, complete', () => {
  const text = JSON.stringify({
    filename: '/d',
    format: 'qcow2',
    'virtual-size': 5_368_709_120,
    'actual-size': 7,
    'cluster-size': 65_536,
    'backing-filename': 'b',
    'backing-filename-format': 'raw',
    encrypted: true,
    snapshots: [
      { id: '1', name: 's', 'vm-state-size': 9 },
      { id: '2', name: '' },
    ],
    'format-specific': { type: 'qcow2', data: { compat: '1.1', 'data-file': 'd' } },
    'dirty-flag': false,
    children: [],
  })
  expect(parseInfo(text)).toEqual({
    image: '/d',
    fileFormat: 'qcow2',
    virtualSize: 5_368_709_120,
    diskSize: 7,
    clusterSize: 65_536,
    backingFile: 'b',
    backingFileFormat: 'raw',
    encrypted: true,
    snapshots: [
      { id: '1', name: 's', vmStateSize: 9 },
      { id: '2', name: '', vmStateSize: 0 },
    ],
    formatSpecific: { type: 'qcow2', data: { compat: '1.1', 'data-file': 'd' } },
  })
})

test.each([
  '',
  'null',
  '[]',
  '{}',
  '{"virtual-size": "5"}',
  '{"virtual-size": -1}',
  '{"virtual-size": 1.5}',
  '{"virtual-size": 9007199254740993}',
  '{"virtual-size": 5, "format": 5}',
  '{"virtual-size": 5, "encrypted": "yes"}',
  '{"virtual-size": 5, "snapshots": {}}',
  '{"virtual-size": 5, "snapshots": [{"id": 1, "name": "s"}]}',
  '{"virtual-size": 5, "format-specific": []}',
  `{"virtual-size": 5, "format-specific": {"type": "x", "data": {"a": ${'['.repeat(100)}${']'.repeat(100)}}}}`,
  '['.repeat(1_000_000),
  `{"virtual-size": 5, "filename": "${'\\\\'.repeat(1000)}`,
  '{"virtual-size": 5, "format-specific": {"type": "qcow2", "data": []}}',
  `{"virtual-size": 5, "snapshots": [${'{},'.repeat(65_536)}{}]}`,
])('info that is none: %.60s', (text) => {
  expect(() => parseInfo(text)).toThrow(QemuImgOutputError)
})

test('whatever is printed, only errors of the family come out', () => {
  const anything = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .jsonValue()
      .map((value) =>
        JSON.stringify({ 'virtual-size': 5, snapshots: value, 'format-specific': value, format: value }),
      ),
  )
  const parsers = [parseInfo, parseMap, parseMeasurement, parseCheck, parseVersion, parseProgress]
  fc.assert(
    fc.property(anything, (text) => {
      for (const parse of parsers) {
        const failure = ((): unknown => {
          try {
            parse(text)
            return undefined
          } catch (error) {
            return error
          }
        })()
        expect(failure === undefined || ImageError.is(failure)).toBe(true)
      }
    }),
  )
})

test.each([
  ['    (0.00/100%)', 0],
  ['    (12.34/100%)', 12.34],
  ['    (100.00/100%)', 100],
  ['(999.99/100%)', 100],
  ['Images are identical.', undefined],
  ['', undefined],
])('progress in %j', (line, percent) => {
  expect(parseProgress(line)).toBe(percent)
})

test('extents, measurements and checks', () => {
  const extent = { start: 0, length: 512, depth: 0, present: true, zero: false, data: true, offset: 65_536 }
  expect(parseMap(JSON.stringify([extent]))).toEqual([{ ...extent, compressed: false }])
  expect(parseMeasurement('{"required": 1, "fully-allocated": 2}')).toEqual({
    requiredBytes: 1,
    fullyAllocatedBytes: 2,
  })
  expect(parseCheck('{"check-errors": 0, "leaks": 3}')).toMatchObject({
    leaks: 3,
    corruptions: 0,
    checkErrors: 0,
  })
})
