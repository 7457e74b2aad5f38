import type { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { sendBody, SourceSizeError } from './send-body.ts'
import type { RequestBody, SendHooks } from './send-body.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** A connection that takes a piece when it is told to, or at once. */
function connection(takes: (bytes: number) => Promise<void> | void = () => undefined): {
  socket: Socket
  pieces: Buffer[]
} {
  const pieces: Buffer[] = []
  const socket = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      pieces.push(Buffer.from(piece))
      void (async () => {
        await takes(piece.length)
        done()
      })()
    },
  })
  return { socket: socket as Socket, pieces }
}

function hooks(socket: Socket, sent: number[] = []): SendHooks {
  return {
    stopped: () => socket.destroyed,
    onSent: (bytes) => void sent.push(bytes),
    whileReading: () => undefined,
  }
}

/** Portions in one memory that is overwritten each time, as a file's reader does it. */
async function* portions(count: number, size: number): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(size)
  for (let index = 0; index < count; index += 1) yield memory.fill(index + 1)
}

const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

test.each([undefined, 3 * MiB])(
  'size %s: every byte arrives, although their memory is used again',
  async (size) => {
    const { socket, pieces } = connection(() => wait(1))
    expect(await sendBody(socket, { size, open: () => portions(3, MiB) }, hooks(socket))).toBe(true)
    const bytes = Buffer.concat(pieces)
    const count = (value: number): number => bytes.filter((byte) => byte === value).length
    expect([1, 2, 3].map(count)).toEqual([MiB, MiB, MiB])
  },
)

test('pieces grow on a fast connection, and a slow one still shows progress', async () => {
  let milliseconds = 0
  const { socket } = connection(() => wait(milliseconds))
  const sent: number[] = []
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* portions(3, MiB)
    milliseconds = 60
    yield* portions(2, MiB)
  }
  await sendBody(socket, { size: undefined, open: source }, hooks(socket, sent))
  expect(sent[0]).toBe(256 * KiB)
  expect(Math.max(...sent)).toBe(MiB)
  expect(sent.slice(-4)).toEqual(Array.from({ length: 4 }, () => 256 * KiB))
})

test('a portion is sent while it is hashed; only then comes the next', async () => {
  const { socket, pieces } = connection()
  const events: string[] = []
  const body: RequestBody = {
    size: undefined,
    async *open() {
      for (const name of ['first', 'second']) {
        events.push(`${name} read`)
        yield Buffer.from(name)
      }
    },
    onPortion: async (bytes) => {
      const name = Buffer.from(bytes).toString()
      await wait(20)
      expect(pieces.some((piece) => piece.toString() === name)).toBe(true)
      events.push(`${name} hashed`)
    },
  }
  expect(await sendBody(socket, body, hooks(socket))).toBe(true)
  expect(events).toEqual(['first read', 'first hashed', 'second read', 'second hashed'])
})

test.each([
  ['less', 3 * MiB + 1, 'has 1 bytes less'],
  ['more', 3 * MiB - 1, 'has more than'],
  ['a whole portion more', 2 * MiB, 'has more than'],
])('a source with %s than it said never completes a request', async (_, size, message) => {
  const { socket, pieces } = connection()
  const sending = sendBody(socket, { size, open: () => portions(3, MiB) }, hooks(socket))
  await expect(sending).rejects.toThrow(SourceSizeError)
  await expect(sending).rejects.toThrow(message)
  expect(Buffer.concat(pieces).length).toBeLessThan(size)
})

test('what the source throws in the middle is passed on, and nothing more is sent', async () => {
  const { socket, pieces } = connection()
  const broken = new Error('bad sector')
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* portions(2, MiB)
    throw broken
  }
  await expect(sendBody(socket, { size: 3 * MiB, open: source }, hooks(socket))).rejects.toBe(broken)
  expect(Buffer.concat(pieces).length).toBe(2 * MiB)
})

test('what fails while a portion is sent is passed on, not left unhandled', async () => {
  const { socket } = connection(() => wait(20))
  const failed = new Error('no hash')
  let closed = false
  const body: RequestBody = {
    size: undefined,
    async *open() {
      try {
        yield* portions(2, MiB)
      } finally {
        closed = true
      }
    },
    onPortion: () => Promise.reject(failed),
  }
  await expect(sendBody(socket, body, hooks(socket))).rejects.toBe(failed)
  await expect.poll(() => closed).toBe(true)
})

test('a connection that goes while a piece waits ends it, and the source is closed', async () => {
  const { socket } = connection(() => new Promise(() => undefined))
  let closed = false
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield* portions(9, MiB)
    } finally {
      closed = true
    }
  }
  const sending = sendBody(socket, { size: 9 * MiB, open: source }, hooks(socket))
  await wait(20)
  socket.destroy()
  expect(await sending).toBe(false)
  await expect.poll(() => closed).toBe(true)
})
