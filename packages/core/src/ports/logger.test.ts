import { expect, test } from 'vitest'
import { adaptLogger, type Logger, silentLogger } from './logger.ts'

test('no logger is a silent one, and any other stays as it is', () => {
  expect(adaptLogger(undefined)).toBe(silentLogger)
  expect(adaptLogger(console)).toBe(console)
})

test("pino's marker turns the calls round, for child loggers too", () => {
  const calls: unknown[][] = []
  const record =
    (level: string) =>
    (...parameters: unknown[]) =>
      calls.push([level, ...parameters])
  const levels = {
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
  }
  const child = Object.create({ [Symbol.for('pino.serializers')]: {}, ...levels }) as Logger
  const logger = adaptLogger(child)
  const error = new Error('lost')
  logger.debug('alone')
  logger.info('run', { bytes: 1 })
  logger.warn('again', { error, attempt: 2 })
  logger.error('odd', { error: 'a word' })
  expect(calls).toEqual([
    ['debug', {}, 'alone'],
    ['info', { bytes: 1 }, 'run'],
    ['warn', { err: error, attempt: 2 }, 'again'],
    ['error', { error: 'a word' }, 'odd'],
  ])
})
