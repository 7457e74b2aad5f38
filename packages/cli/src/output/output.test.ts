import { printable, printableLines } from '@disk-image/core'
import { expect, test } from 'vitest'
import { createLogger, shellCommand } from './logger.ts'
import { styleFor } from './style.ts'
import { alignFields, alignRows } from './table.ts'
import { exactBytes, formatSeconds } from './units.ts'

test('text from outside cannot steer the terminal', () => {
  expect(printable('a\u001b[31mb\u0007\n\u202Ec\u009b')).toBe('a\\x1b[31mb\\x07\\x0a\\u202ec\\x9b')
  expect(printable('Größe 図 ✓')).toBe('Größe 図 ✓')
  expect(printableLines('a\u001b\nb')).toBe('a\\x1b\nb')
  expect(alignRows([['\u001b[2Jname', 'x']])).toEqual(['\\x1b[2Jname  x'])
})

test('colours need a terminal and no NO_COLOR', () => {
  const terminal = { write: () => undefined, isTTY: true }
  expect(styleFor(terminal, {}).bad('x')).toBe('\u001b[31mx\u001b[39m')
  expect(styleFor(terminal, { NO_COLOR: '' }).bad('x')).toBe('\u001b[31mx\u001b[39m')
  expect(styleFor(terminal, { NO_COLOR: '1' }).bad('x')).toBe('x')
  expect(styleFor(terminal, { TERM: 'dumb' }).bad('x')).toBe('x')
  expect(styleFor({ write: () => undefined }, {}).bad('x')).toBe('x')
})

test('columns are as wide as their widest cell, painted or not', () => {
  const paint = (text: string): string => `<${text}>`
  expect(
    alignRows([
      ['a', { text: 'bb', paint }, 'c'],
      ['aaa', 'b', ''],
    ]),
  ).toEqual(['a    <bb>  c', 'aaa  b'])
  expect(
    alignFields(
      [
        ['one', '1'],
        ['left out', undefined],
        ['three', '3'],
      ],
      '  ',
    ),
  ).toEqual(['  one    1', '  three  3'])
})

test('amounts are exact, and times short', () => {
  expect(exactBytes(512)).toBe('512 bytes')
  expect(exactBytes(1610612736)).toBe('1.50 GiB (1610612736 bytes)')
  expect([0.04, 59.94, 65, 7231].map((seconds) => formatSeconds(seconds))).toEqual([
    '0.0 s',
    '59.9 s',
    '1:05',
    '2:00:31',
  ])
})

test('commands are shown as one could type them', () => {
  expect(shellCommand(['qemu-img', 'info', '-f', 'raw', "it's here"])).toBe(
    "qemu-img info -f raw 'it'\\''s here'",
  )
  const lines: string[] = []
  const logger = createLogger((line) => lines.push(line), { quiet: false, verbose: true })
  logger.debug('run', { command: ['true'], sandboxed: true })
  logger.warn('odd', { failure: new Error('broken') })
  expect(lines).toEqual(['+ true  (sandboxed)', 'disk-image: odd  (failure=broken)'])
})

test('without --verbose only warnings are shown, with --quiet none', () => {
  const lines: string[] = []
  for (const quiet of [false, true]) {
    const logger = createLogger((line) => lines.push(`${quiet}: ${line}`), { quiet, verbose: false })
    logger.debug('a')
    logger.info('b')
    logger.warn('c')
  }
  expect(lines).toEqual(['false: disk-image: c'])
})
