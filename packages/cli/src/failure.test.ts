import { expect, test } from 'vitest'
import {
  ImageDownloadFailedError,
  ImageError,
  type ImageErrorKind,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  ProcessExecutionError,
} from '@disk-image/core'
import { toFailure } from './failure.ts'
import { UsageError } from './usage-error.ts'

const never = new AbortController().signal
const imageId = 'an-image'

test.each([
  [new UsageError('x'), 2, 'USAGE'],
  [new ImageUnacceptableError({ imageId, reason: 'x' }), 3, 'IMAGE_UNACCEPTABLE'],
  [new ImageTooBigError({ imageId, reason: 'x' }), 3, 'IMAGE_TOO_BIG'],
  [new ImageNotFoundError({ imageId }), 4, 'IMAGE_NOT_FOUND'],
  [new ImageNotAuthorizedError({ imageId }), 5, 'IMAGE_NOT_AUTHORIZED'],
  [new InvalidError({ reason: 'x' }), 1, 'INVALID'],
  [new ImageDownloadFailedError({ imageId, reason: 'x' }), 1, 'IMAGE_DOWNLOAD_FAILED'],
  [new ProcessExecutionError({ command: ['a'], endReason: 'exit' }), 1, 'PROCESS_EXECUTION_FAILED'],
  [Object.assign(new Error('no'), { code: 'EACCES', path: '/x' }), 5, 'EACCES'],
  [Object.assign(new Error('no'), { code: 'ENOENT', path: '/x' }), 1, 'ENOENT'],
  [new TypeError('x is not a function'), 1, 'UNEXPECTED'],
  ['a text', 1, 'UNEXPECTED'],
])('%s ends with %i', (error, exitCode, code) => {
  expect(toFailure(error, never)).toMatchObject({ exitCode, error: { code } })
})

test('a refusal says what, where and what would be accepted', () => {
  const refusal = {
    rule: 'qcow2-backing-file',
    found: '/etc/passwd',
    offset: 8,
    accepted: 'an image without a backing file',
    reference: 'CVE-2024-32498',
  }
  const { error } = toFailure(new ImageUnacceptableError({ imageId, reason: 'bad', ...refusal }), never)
  expect(error).toEqual({
    code: 'IMAGE_UNACCEPTABLE',
    message: 'Image an-image is unacceptable: bad',
    ...refusal,
  })
  const plain = toFailure(new ImageUnacceptableError({ imageId, reason: 'bad' }), never).error
  expect(Object.keys(plain)).toEqual(['code', 'message'])
})

test('whatever a cancelled operation rejects with, it was cancelled', () => {
  const signal = AbortSignal.abort()
  for (const error of [signal.reason, new Error('x'), new ImageNotFoundError({ imageId })]) {
    expect(toFailure(error, signal)).toMatchObject({ exitCode: 130, error: { code: 'CANCELLED' } })
  }
})

test('of a tool’s output the last lines are shown', () => {
  const stderr = Array.from({ length: 50 }, (_, line) => `line ${line}`).join('\n')
  const { error } = toFailure(
    new ProcessExecutionError({ command: ['tool'], endReason: 'exit', exitCode: 1, stderr, stdout: 'noise' }),
    never,
  )
  expect(error.message.split('\n')).toEqual([
    'tool failed with exit code 1:',
    ...[45, 46, 47, 48, 49].map((line) => `line ${line}`),
  ])
})

test('a tool that says nothing is shown with its command line', () => {
  const init = { command: ['tool', 'with', 'words'], endReason: 'exit', exitCode: 1 } as const
  expect(toFailure(new ProcessExecutionError(init), never).error.message).toBe(
    'Command failed with exit code 1: tool with words',
  )
})

test('an error of another copy of the packages counts by its kind', () => {
  class Strange extends ImageError {
    readonly code = 'STRANGE'
    readonly kind: ImageErrorKind = 'refused'
  }
  expect(toFailure(new Strange({ message: 'x' }), never).exitCode).toBe(3)
})
