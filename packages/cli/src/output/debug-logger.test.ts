import { expect, test } from 'vitest'
import { Session } from '../session.ts'
import { both, createDebugLogger, debugWanted } from './logger.ts'

test.each([
  [undefined, false],
  ['', false],
  ['http,disk-imagery', false],
  ['disk-image', true],
  ['fs, DISK-IMAGE', true],
  ['*', true],
])('NODE_DEBUG=%s', (value, wanted) => {
  expect(debugWanted(value)).toBe(wanted)
})

test('a line has the process, the time, the level and every field', () => {
  const lines: string[] = []
  let now = 100
  const logger = createDebugLogger((line) => lines.push(line), { processId: 7, now: () => now })
  now = 112.4
  logger.debug('run', { command: ['qemu-img', 'info'], error: new Error('gone') })
  both(logger, logger).warn('twice')
  expect(lines).toEqual([
    'DISK-IMAGE 7: +12 ms debug run command=["qemu-img","info"] error=gone',
    'DISK-IMAGE 7: +12 ms warn twice',
    'DISK-IMAGE 7: +12 ms warn twice',
  ])
})

test('the variable makes a session talk, without the flag', () => {
  const said: string[] = []
  const session = (value: string): Session =>
    new Session(
      {
        stdout: { write: () => undefined },
        stderr: { write: (text) => said.push(text) },
        environment: { NODE_DEBUG: value },
        workingDirectory: '/',
        signal: new AbortController().signal,
      },
      {},
    )
  session('http').logger.debug('unheard')
  session('disk-image').logger.debug('heard', { bytes: 1 })
  expect(said.join('')).toMatch(/^DISK-IMAGE \d+: \+\d+ ms debug heard bytes=1\n$/)
})
