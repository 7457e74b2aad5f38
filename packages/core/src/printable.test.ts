import { expect, test } from 'vitest'
import { printable, printableJson, printableLines } from './printable.ts'

test.each([
  ['a\u001b[31mb\u0007\n', 'a\\x1b[31mb\\x07\\x0a'],
  ['\u009b2J\u007f\u0085', '\\x9b2J\\x7f\\x85'],
  ['cod.\u202Eexe.fdp', 'cod.\\u202eexe.fdp'],
  ['\u2066a\u2069\u200e\u200f\u061c', '\\u2066a\\u2069\\u200e\\u200f\\u061c'],
  ['a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
  ['ad\u200bmin\ufeff\u00ad\u2060', 'ad\\u200bmin\\ufeff\\xad\\u2060'],
  ['\u{e0041}\u3164', '\\u{e0041}\\u3164'],
  ['half \ud800', 'half \\ud800'],
  ['Größe 図 ✓ 👍 ❤\ufe0f', 'Größe 図 ✓ 👍 ❤\ufe0f'],
])('%j is shown as %s', (text, shown) => {
  expect(printable(text)).toBe(shown)
})

test('a long text is cut, with what its escapes take', () => {
  expect(printable('abc', 3)).toBe('abc')
  expect(printable('abcd', 3)).toBe('abc…')
  expect(printable('a\u0007b', 3)).toBe('a\\x…')
})

test('lines stay lines', () => {
  expect(printableLines('a\u001b\nb\r')).toBe('a\\x1b\nb\\x0d')
})

test('JSON says the same with escapes', () => {
  const value = { 'n\u202e': 'a\u001b\u009b\u2066\u{e0041}\n', list: [1, null] }
  for (const indent of [undefined, 2]) {
    const text = printableJson(value, indent)
    expect(JSON.parse(text)).toEqual(value)
    expect(text).toMatch(/^[\n\u0020-\u007e]*$/)
  }
})
