import type { Socket } from 'node:net'

/** The data of an upload. */
export interface RequestBody {
  /** Exactly so many bytes are sent; absent: chunked. */
  readonly size: number | undefined
  /** Opens the bytes; called once per request. */
  open(): AsyncIterable<Uint8Array>
  /** Sees every portion in its turn, before it is sent. */
  onPortion?(bytes: Uint8Array): Promise<void> | void
  /** How long to wait for `100 Continue`. @default 1000 */
  readonly continueTimeoutMs?: number | undefined
}

/** What the exchange is told, and asks, while a body is sent. */
export interface SendHooks {
  /** The answer is there already, or the connection is gone. */
  stopped(): boolean
  onSent(bytes: number): void
  /** While the source is being read, the connection is not to blame for silence. */
  whileReading(reading: boolean): void
}

/** The source of an upload did not keep to its size. */
export class SourceSizeError extends Error {
  override readonly name = 'SourceSizeError'
}

/**
 * Sends a body with back pressure; a portion's memory is not needed any more when the next is asked for.
 *
 * @returns whether it was sent to its end
 * @throws {SourceSizeError} where the source has fewer or more bytes than it said: never are more sent than declared
 * @throws what the source throws, as it is
 */
export async function sendBody(socket: Socket, body: RequestBody, hooks: SendHooks): Promise<boolean> {
  let left = body.size
  let held: Uint8Array | undefined
  const iterator = body.open()[Symbol.asyncIterator]()
  try {
    for (;;) {
      hooks.whileReading(true)
      const next = await iterator.next()
      const bytes = next.done === true ? undefined : next.value
      if (bytes !== undefined && bytes.length > 0) await body.onPortion?.(bytes)
      hooks.whileReading(false)
      if (hooks.stopped()) return false
      if (bytes === undefined) break
      if (bytes.length === 0) continue
      if (left !== undefined && bytes.length > left) {
        throw new SourceSizeError(`the source has more than the ${body.size} bytes that it promised`)
      }
      if (left !== undefined) left -= bytes.length
      if (left === 0) {
        // Were the source to go on, a server would take the first bytes for the whole: so the last one is kept back.
        held = Uint8Array.from(bytes.subarray(-1))
        await write(socket, bytes.subarray(0, -1), false, hooks)
      } else {
        await write(socket, bytes, left === undefined, hooks)
      }
      if (hooks.stopped()) return false
    }
    if (left !== undefined && left > 0) {
      throw new SourceSizeError(`the source has ${left} bytes less than the ${body.size} that it promised`)
    }
    if (left === undefined) socket.write('0\r\n\r\n')
    if (held !== undefined) await write(socket, held, false, hooks)
    return true
  } finally {
    void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}

/** Portions go out in pieces, so that a slow connection still shows progress. */
const pieceBytes = 256 * 1024

async function write(socket: Socket, bytes: Uint8Array, chunked: boolean, hooks: SendHooks): Promise<void> {
  for (let start = 0; start < bytes.length && !hooks.stopped(); start += pieceBytes) {
    const piece = bytes.subarray(start, start + pieceBytes)
    if (chunked) socket.write(`${piece.length.toString(16)}\r\n`)
    await flushed(socket, piece)
    if (chunked) socket.write('\r\n')
    hooks.onSent(piece.length)
  }
}

function flushed(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      socket.removeListener('close', finish)
      resolve()
    }
    // A broken connection ends the exchange elsewhere; here it only must not be waited for.
    socket.once('close', finish)
    if (socket.destroyed) finish()
    else socket.write(bytes, finish)
  })
}
