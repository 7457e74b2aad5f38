import { expect, test } from 'vitest'
import { Rendezvous } from './rendezvous.ts'

test('every chunk arrives, and is the writer’s again only after the reader is done with it', async () => {
  const meeting = new Rendezvous()
  const buffer = new Uint8Array(1)
  const writing = (async () => {
    for (let value = 1; value <= 5; value += 1) {
      buffer[0] = value
      await meeting.write(buffer)
    }
    meeting.end()
  })()
  const seen: number[] = []
  for await (const chunk of meeting) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    seen.push(chunk[0] ?? 0)
  }
  await writing
  expect(seen).toEqual([1, 2, 3, 4, 5])
})

test('a reader that leaves fails the write that waits, and every later one', async () => {
  const meeting = new Rendezvous()
  const first = meeting.write(new Uint8Array(1))
  meeting.leave(new Error('refused'))
  await expect(first).rejects.toThrow('refused')
  await expect(meeting.write(new Uint8Array(1))).rejects.toThrow('refused')
})

test('the reader gets the writer’s error', async () => {
  const meeting = new Rendezvous()
  meeting.end(new Error('broken line'))
  const reading = (async () => {
    for await (const chunk of meeting) expect(chunk).toBeUndefined()
  })()
  await expect(reading).rejects.toThrow('broken line')
})
