import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonDepth } from './json-depth.ts'

test.each([
  ['', 0],
  ['1', 0],
  ['{}', 1],
  ['[[],[[]],{}]', 3],
  [String.raw`["[[[", {"a\"[": "]"}]`, 2],
  ['['.repeat(1_000_000), 1_000_000],
  [']]]]', 0],
  ['"' + '\\'.repeat(1_000_001), 0],
])('%.30s', (text, depth) => expect(jsonDepth(text)).toBe(depth))

test('of every value it is what walking it counts', () => {
  const walk = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(walk)) : 0
  fc.assert(fc.property(fc.jsonValue(), (value) => jsonDepth(JSON.stringify(value)) === walk(value)))
})
