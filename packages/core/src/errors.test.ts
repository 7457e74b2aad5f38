import { expect, test } from 'vitest'
import {
  ImageError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
  ProcessExecutionError,
} from './index.ts'

test('an error has its class name, a stable code and its cause', () => {
  const cause = new Error('underneath')
  const error = new ImageUnacceptableError({
    imageId: 'a',
    reason: 'it is cut',
    rule: 'size',
    offset: 4,
    cause,
  })
  expect(error.name).toBe('ImageUnacceptableError')
  expect(error.code).toBe('IMAGE_UNACCEPTABLE')
  expect(error.kind).toBe('refused')
  expect(error.message).toBe('Image a is unacceptable: it is cut')
  expect(error.reason).toBe('it is cut')
  expect(error.cause).toBe(cause)
  expect(error.offset).toBe(4)
})

test('a refused image is invalid too, as in Cinder', () => {
  expect(new ImageUnacceptableError({ imageId: 'a', reason: 'r' })).toBeInstanceOf(InvalidError)
  expect(new ImageTooBigError({ imageId: 'a', reason: 'r' })).toBeInstanceOf(InvalidError)
})

test('the family is recognised by its mark, not by its class', () => {
  expect(ImageError.is(new InvalidError({ reason: 'r' }))).toBe(true)
  const other = Object.assign(new Error('of another copy'), { [Symbol.for('@disk-image/error')]: true })
  expect(ImageError.is(other)).toBe(true)
  expect(ImageError.is(new Error('plain'))).toBe(false)
  expect(ImageError.is(null)).toBe(false)
})

test('a process error says how the process ended, and has its output', () => {
  const error = new ProcessExecutionError({
    command: ['tool', 'x'],
    exitCode: 3,
    stderr: 'bad\n',
    endReason: 'exit',
  })
  expect(error.shortMessage).toBe('Command failed with exit code 3: tool x')
  expect(error.message).toBe('Command failed with exit code 3: tool x\nbad')
})
