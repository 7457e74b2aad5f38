import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { BoundedOutput, LineSplitter } from './output.ts'

function linesOf(chunks: readonly Buffer[]): string[] {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  for (const chunk of chunks) splitter.add(chunk)
  splitter.end()
  return lines
}

test('lines end at line feeds and carriage returns', () => {
  const text = '    (0.00/100%)\r    (50.00/100%)\r    (100.00/100%)\r\n\ndone'
  expect(linesOf([Buffer.from(text)])).toEqual([
    '    (0.00/100%)',
    '    (50.00/100%)',
    '    (100.00/100%)',
    'done',
  ])
})

test('a line without an end is kept in part, and costs no more for it', () => {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  const chunks = Array.from({ length: 256 }, () => chunk)
  expect(linesOf([...chunks, Buffer.from('\nnext\n')])).toEqual(['x'.repeat(64 * 1024), 'next'])
})

test('where the stream is cut does not matter', () => {
  const pieces = fc.string({ unit: fc.constantFrom('a', 'é', '𝄞', '\n', '\r', ' ') })
  fc.assert(
    fc.property(pieces, fc.nat(), (text, at) => {
      const bytes = Buffer.from(text)
      const cut = at % (bytes.length + 1)
      expect(linesOf([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(linesOf([bytes]))
    }),
  )
})

test('output is kept up to the limit, and what is beyond is told', () => {
  const output = new BoundedOutput(5)
  expect(output.add(Buffer.from('abc'))).toBe(true)
  expect(output.add(Buffer.from('de'))).toBe(true)
  expect(output.add(Buffer.from('f'))).toBe(false)
  expect(output.text()).toBe('abcde')
})
