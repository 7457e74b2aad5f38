import { expect, test } from 'vitest'
import { Channel } from './channel.ts'

test('every chunk arrives, and is the writer’s again only after the reader is done with it', async () => {
  const channel = new Channel()
  const buffer = new Uint8Array(1)
  const writing = (async () => {
    for (let value = 1; value <= 5; value += 1) {
      buffer[0] = value
      await channel.write(buffer)
    }
    channel.end()
  })()
  const seen: number[] = []
  for await (const chunk of channel) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    seen.push(chunk[0] ?? 0)
  }
  await writing
  expect(seen).toEqual([1, 2, 3, 4, 5])
})

test('a reader that leaves fails the write that waits, and every later one', async () => {
  const channel = new Channel()
  const first = channel.write(new Uint8Array(1))
  channel.leave(new Error('refused'))
  await expect(first).rejects.toThrow('refused')
  await expect(channel.write(new Uint8Array(1))).rejects.toThrow('refused')
})

test('the reader gets the writer’s error', async () => {
  const channel = new Channel()
  channel.end(new Error('broken line'))
  const reading = (async () => {
    for await (const chunk of channel) expect(chunk).toBeUndefined()
  })()
  await expect(reading).rejects.toThrow('broken line')
})
