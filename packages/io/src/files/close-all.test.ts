import { expect, test } from 'vitest'
import { closeAll } from './close-all.ts'

test('everything is closed, whatever fails, and the first failure is told', async () => {
  const closed: string[] = []
  const open = (name: string, fails = false): { close(): Promise<void> } => ({
    close: async () => {
      closed.push(name)
      if (fails) throw new Error(name)
    },
  })
  await closeAll(undefined, open('a'), undefined, open('b'))
  expect(closed.splice(0)).toEqual(['a', 'b'])
  await expect(closeAll(open('a', true), open('b', true), undefined, open('c'))).rejects.toThrow('a')
  expect(closed).toEqual(['a', 'b', 'c'])
})
