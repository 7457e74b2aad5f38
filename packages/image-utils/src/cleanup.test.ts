import { expect, test } from 'vitest'
import { Cleanup } from './cleanup.ts'

test('a success runs only what always runs, last first', async () => {
  const ran: string[] = []
  const result = await Cleanup.around(async (cleanup) => {
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
  const operation = Cleanup.around(async (cleanup) => {
    cleanup.always(async () => ran.push('close'))
    cleanup.onFailure(async () => ran.push('undo'))
    cleanup.always(async () => {
      throw new Error('of the cleanup')
    })
    throw new Error('of the operation')
  })
  await expect(operation).rejects.toThrow('of the operation')
  expect(ran).toEqual(['undo', 'close'])
})

test('an error of the cleanup is told where the operation succeeded', async () => {
  const operation = Cleanup.around(async (cleanup) => {
    cleanup.always(async () => {
      throw new Error('not given back')
    })
  })
  await expect(operation).rejects.toThrow('not given back')
})
