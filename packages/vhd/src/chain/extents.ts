import { type CallOptions, type DiskReceiver, type Extent } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { defaultBlockBytes } from '../format/constants.ts'
import { createBufferPool, type BufferPool } from '../io/buffer-pool.ts'
import { isZero } from '../io/zeroes.ts'
import type { DiskChain } from './open-chain.ts'
import { readPieces } from './read-pieces.ts'
import { resolveRange, type Piece } from './resolve.ts'

/** Neighbouring bytes of a disk, with the bytes where they are not zero. */
export type VhdExtent =
  | (Extent & { readonly kind: 'data'; readonly data: Uint8Array })
  | (Extent & { readonly kind: 'zero'; readonly data?: undefined })

/** Options of everything that reads a chain from one end to the other. */
export interface ReadOptions extends CallOptions {
  /** Whether data that is all zeros is reported as zero, in steps of 64 KiB. @default true */
  readonly findZeroes?: boolean | undefined
}

/** What is read ahead: the size of a window, and how many are under way. */
const windowBytes: number = defaultBlockBytes
const readAhead = 3
const granuleBytes = 65_536

/** A class, like {@link Run}, for the reason in docs/decisions/0013-offsets-in-classes.md. */
class Window {
  readonly start: number
  readonly end: number
  readonly pieces: readonly Piece[]
  readonly buffer: Uint8Array

  constructor(start: number, end: number, pieces: readonly Piece[], buffer: Uint8Array) {
    this.start = start
    this.end = end
    this.pieces = pieces
    this.buffer = buffer
  }
}

const freshBuffers: BufferPool = {
  take: () => allocateBuffer(windowBytes),
  giveBack: () => undefined,
}

/**
 * A chain's extents in order and without gaps; they add up to its size. The bytes of an extent belong to the
 * receiver.
 */
export function readExtents(
  chain: DiskChain,
  options: ReadOptions = {},
): AsyncGenerator<VhdExtent, void, void> {
  return extentsOf(chain, options, freshBuffers)
}

/** The same as {@link readExtents} for a receiver that copies: the buffers are used again, so memory stays flat. */
export async function copyExtents(
  chain: DiskChain,
  receiver: DiskReceiver,
  options: ReadOptions = {},
): Promise<void> {
  for await (const { offset, length, data } of extentsOf(chain, options, createBufferPool(windowBytes))) {
    await (data === undefined ? receiver.zero(offset, length) : receiver.data(offset, data))
  }
}

async function* extentsOf(
  chain: DiskChain,
  { signal, onProgress, findZeroes = true }: ReadOptions,
  pool: BufferPool,
): AsyncGenerator<VhdExtent, void, void> {
  let zeroStart: number | undefined
  for await (const window of windowsOf(chain, signal, pool)) {
    signal?.throwIfAborted()
    for (const { start, end, hasData } of runsOf(window, findZeroes)) {
      if (!hasData) {
        zeroStart ??= start
        continue
      }
      if (zeroStart !== undefined) yield { offset: zeroStart, length: start - zeroStart, kind: 'zero' }
      zeroStart = undefined
      const data = window.buffer.subarray(start - window.start, end - window.start)
      yield { offset: start, length: end - start, kind: 'data', data }
    }
    pool.giveBack(window.buffer)
    onProgress?.({ stage: 'convert', completed: window.end, total: chain.sizeBytes, unit: 'bytes' })
  }
  if (zeroStart !== undefined) yield { offset: zeroStart, length: chain.sizeBytes - zeroStart, kind: 'zero' }
}

async function* windowsOf(
  chain: DiskChain,
  signal: AbortSignal | undefined,
  pool: BufferPool,
): AsyncGenerator<Window, void, void> {
  const scratch = createBufferPool(windowBytes)
  const queue: Promise<Window>[] = []
  let next = 0
  try {
    while (queue.length > 0 || next < chain.sizeBytes) {
      signal?.throwIfAborted()
      while (queue.length < readAhead && next < chain.sizeBytes) {
        const end = Math.min(next + windowBytes, chain.sizeBytes)
        const window = loadWindow(chain, next, end, pool, scratch)
        // It is awaited later; a failure until then is not an unhandled one.
        window.catch(() => undefined)
        queue.push(window)
        next = end
      }
      yield await (queue.shift() as Promise<Window>)
    }
  } finally {
    // Nothing may still read when the caller closes the files.
    await Promise.allSettled(queue)
  }
}

async function loadWindow(
  chain: DiskChain,
  start: number,
  end: number,
  pool: BufferPool,
  scratch: BufferPool,
): Promise<Window> {
  const none = new Window(start, end, [], new Uint8Array())
  if (!chain.disks.some((disk) => start < disk.sizeBytes && disk.mayHaveData(start, end))) return none
  const pieces = (await resolveRange(chain.disks, start, end)).filter(({ level }) => level !== undefined)
  if (pieces.length === 0) return none
  const buffer = pool.take()
  await readPieces(chain.disks, pieces, buffer, start, scratch)
  return new Window(start, end, pieces, buffer)
}

class Run {
  readonly start: number
  readonly end: number
  readonly hasData: boolean

  constructor(start: number, end: number, hasData: boolean) {
    this.start = start
    this.end = end
    this.hasData = hasData
  }
}

function runsOf(window: Window, findZeroes: boolean): Run[] {
  const runs: Run[] = []
  const add = (start: number, end: number, hasData: boolean): void => {
    const last = runs[runs.length - 1]
    if (start === end) return
    if (last?.hasData === hasData) runs[runs.length - 1] = new Run(last.start, end, hasData)
    else runs.push(new Run(start, end, hasData))
  }
  let at = window.start
  for (const { start, end } of window.pieces) {
    add(at, start, false)
    if (findZeroes) {
      for (let from = start; from < end;) {
        const to = Math.min(end, Math.floor(from / granuleBytes + 1) * granuleBytes)
        add(from, to, !isZero(window.buffer.subarray(from - window.start, to - window.start)))
        from = to
      }
    } else add(start, end, true)
    at = end
  }
  add(at, window.end, false)
  return runs
}
