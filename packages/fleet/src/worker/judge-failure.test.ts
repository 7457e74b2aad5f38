import {
  ImageDownloadFailedError,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  ProcessExecutionError,
} from '@disk-image/core'
import { expect, test } from 'vitest'
import { JobCancelledError } from '../errors.ts'
import { judgeFailure } from './process-job.ts'

const imageId = 'a'
const system = (code: string): Error => Object.assign(new Error(code), { code })

test.each([
  [
    new ImageUnacceptableError({ imageId, reason: 'r', rule: 'qcow2-backing-file' }),
    'final',
    'IMAGE_UNACCEPTABLE',
  ],
  [new ImageNotFoundError({ imageId }), 'final', 'IMAGE_NOT_FOUND'],
  [new ImageNotAuthorizedError({ imageId }), 'final', 'IMAGE_NOT_AUTHORIZED'],
  [new InvalidError({ reason: 'r' }), 'final', 'INVALID'],
  [new ImageTooBigError({ imageId, reason: 'r' }), 'elsewhere', 'IMAGE_TOO_BIG'],
  [system('ENOSPC'), 'elsewhere', 'ENOSPC'],
  [new ImageDownloadFailedError({ imageId, reason: 'r' }), 'retry', 'IMAGE_DOWNLOAD_FAILED'],
  [new ProcessExecutionError({ command: ['x'], endReason: 'signal' }), 'retry', 'PROCESS_EXECUTION_FAILED'],
  [system('ECONNRESET'), 'retry', 'ECONNRESET'],
  [new TypeError('x'), 'retry', 'UNEXPECTED'],
  ['a text', 'retry', 'UNEXPECTED'],
  [new JobCancelledError(), 'cancelled', 'FLEET_JOB_CANCELLED'],
])('%s is %s', (error, verdict, code) => {
  expect(judgeFailure(error)).toMatchObject({ verdict, code })
})
