import { ImageNotFoundError, ImageUnacceptableError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { outcomeOf } from './open-telemetry.ts'

test('a refusal is told by its rule', () => {
  const error = new ImageUnacceptableError({ imageId: 'secret', reason: 'no', rule: 'qcow2-backing-file' })
  expect(outcomeOf(error, undefined)).toEqual({
    outcome: 'refused',
    errorType: 'IMAGE_UNACCEPTABLE',
    rule: 'qcow2-backing-file',
  })
})

test('an error of ours is told by its code, one of the system too', () => {
  expect(outcomeOf(new ImageNotFoundError({ imageId: 'secret' }), undefined)).toEqual({
    outcome: 'failed',
    errorType: 'IMAGE_NOT_FOUND',
    rule: undefined,
  })
  const full = Object.assign(new Error('write /secret/path'), { code: 'ENOSPC' })
  expect(outcomeOf(full, undefined)).toEqual({ outcome: 'failed', errorType: 'ENOSPC' })
})

test("only the caller's own reason is a cancellation", () => {
  const signal = AbortSignal.abort('my reason')
  expect(outcomeOf('my reason', signal)).toEqual({ outcome: 'cancelled' })
  expect(outcomeOf(new TypeError('x'), signal)).toEqual({ outcome: 'failed', errorType: 'TypeError' })
})

test('what could be text of somebody else is not repeated', () => {
  const odd = Object.assign(new Error('x'), { code: 'token=abc def', name: 'see https://u:p@host' })
  expect(outcomeOf(odd, undefined)).toEqual({ outcome: 'failed', errorType: '_OTHER' })
  expect(outcomeOf(undefined, undefined)).toEqual({ outcome: 'failed', errorType: '_OTHER' })
})
