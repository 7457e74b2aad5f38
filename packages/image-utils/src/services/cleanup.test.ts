import { type Logger, silentLogger } from '@disk-image/core'
import { expect, test } from 'vitest'
import { Cleanup } from './cleanup.ts'

/** A log of which only the warnings are kept. */
function listen(): { readonly warned: unknown[]; readonly logger: Logger } {
  const warned: unknown[] = []
  return {
    warned,
    logger: { ...silentLogger, warn: (_message, fields) => void warned.push(fields?.['error']) },
  }
}

test('a success runs only what always runs, last first', async () => {
  const ran: string[] = []
  const result = await Cleanup.around(silentLogger, async (cleanup) => {
    cleanup.always(async () => ran.push('first'))
    cleanup.onFailure(async () => ran.push('undo'))
    cleanup.always(async () => ran.push('second'))
    return 7
  })
  expect(result).toBe(7)
  expect(ran).toEqual(['second', 'first'])
})

test('a failure undoes first, runs everything even where one task fails, and keeps its own error', async () => {
  const ran: string[] = []
  const { warned, logger } = listen()
  const ofCleanup = new Error('of the cleanup')
  const operation = Cleanup.around(logger, async (cleanup) => {
    cleanup.always(async () => ran.push('close'))
    cleanup.onFailure(async () => ran.push('undo'))
    cleanup.always(async () => {
      throw ofCleanup
    })
    throw new Error('of the operation')
  })
  await expect(operation).rejects.toThrow('of the operation')
  expect(ran).toEqual(['undo', 'close'])
  expect(warned).toEqual([ofCleanup])
})

test('an error of the cleanup is told to the log, and the result stays', async () => {
  const { warned, logger } = listen()
  const notGivenBack = new Error('not given back')
  const result = await Cleanup.around(logger, async (cleanup) => {
    cleanup.always(async () => {
      throw notGivenBack
    })
    return 'done'
  })
  expect([result, warned]).toEqual(['done', [notGivenBack]])
})
