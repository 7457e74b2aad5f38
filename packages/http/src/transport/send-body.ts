import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'

/** The data of an upload. */
export interface RequestBody {
  /** Bytes that are sent, no more and no fewer; absent: chunked. */
  readonly size: number | undefined
  /** Opens the bytes; called once per request. */
  open(): AsyncIterable<Uint8Array>
  /** Sees every portion in its turn. The next one is asked for when this is done; the portion is sent meanwhile. */
  onPortion?(bytes: Uint8Array): Promise<void> | void
  /** `false`: it is sent at once, without `Expect: 100-continue`. */
  readonly expectsContinue?: boolean | undefined
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
 * Sends a body with back pressure; a portion's memory is not needed any more when the next is asked for. Whoever
 * sees the portions (a hash in another thread) works while they are sent, and holds up only the next one.
 *
 * @returns whether it was sent to its end
 * @throws {SourceSizeError} where the source has fewer or more bytes than it said: never are more sent than declared
 * @throws what the source or `onPortion` throws, as it is
 */
export async function sendBody(socket: Socket, body: RequestBody, hooks: SendHooks): Promise<boolean> {
  const write = createWriter(socket, body.size === undefined, hooks)
  let left = body.size
  let held: Uint8Array | undefined
  let seen: Promise<void> | void = undefined
  const iterator = body.open()[Symbol.asyncIterator]()
  try {
    for (;;) {
      hooks.whileReading(true)
      // The memory of the portion before is given back only now.
      if (seen !== undefined) await seen
      const next = await iterator.next()
      const bytes = next.done === true ? undefined : next.value
      seen = bytes === undefined || bytes.length === 0 ? undefined : body.onPortion?.(bytes)
      // It is waited for later; a failure until then is not an unhandled one.
      seen?.catch(() => undefined)
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
        await write(bytes.subarray(0, -1))
      } else {
        await write(bytes)
      }
      if (hooks.stopped()) return false
    }
    if (left !== undefined && left > 0) {
      throw new SourceSizeError(`the source has ${left} bytes less than the ${body.size} that it promised`)
    }
    if (left === undefined) socket.write('0\r\n\r\n')
    if (held !== undefined) await write(held)
    return true
  } finally {
    void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}

/** Portions go out in pieces, so that a slow connection still shows progress: the first ones are this long. */
const leastPieceBytes = 256 * 1024
const mostPieceBytes = 1024 * 1024
/** A piece that is gone within this time was short: 256 KiB in it are 5 MB/s. */
const quickMs = 50

/**
 * Writes in pieces, one after the other. Each takes an event and a promise, and on a fast connection those would
 * cost as much as the sending: so the pieces grow while they are taken quickly, and shrink when they are not.
 */
function createWriter(
  socket: Socket,
  chunked: boolean,
  hooks: SendHooks,
): (bytes: Uint8Array) => Promise<void> {
  let pieceBytes = leastPieceBytes
  return async (bytes) => {
    for (let start = 0; start < bytes.length;) {
      // A server that refuses the body answers and closes. Its answer is read before the next write fails by that.
      await turn()
      if (hooks.stopped()) return
      const piece = bytes.subarray(start, start + pieceBytes)
      start += piece.length
      const begun = performance.now()
      if (chunked) socket.write(`${piece.length.toString(16)}\r\n`)
      await flushed(socket, piece)
      if (chunked) socket.write('\r\n')
      hooks.onSent(piece.length)
      const quick = performance.now() - begun < quickMs
      pieceBytes = quick
        ? Math.min(mostPieceBytes, pieceBytes * 2)
        : Math.max(leastPieceBytes, Math.floor(pieceBytes / 4))
    }
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
