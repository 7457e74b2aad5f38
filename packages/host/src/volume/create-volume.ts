import { formatBytes, ImageTooBigError, InvalidError } from '@disk-image/core'
import { BackgroundSync } from './background-sync.ts'
import { DirectWrites } from './direct-writes.ts'
import type { Partial } from '../temporary/partial.ts'
import { HeldRanges } from './held-ranges.ts'
import type { VolumeHandle } from './root-handle.ts'
import { spaceError } from './space-error.ts'
import type { Volume, VolumeTarget } from './volume.ts'
import { writeFully, writeZeros } from './write-fully.ts'
import { WrittenBlocks } from './written-blocks.ts'

/** What a volume is made from. */
export interface VolumeInit {
  readonly handle: VolumeHandle
  readonly path: string
  readonly target: VolumeTarget
  /** Of a new file: where it is until it is committed. */
  readonly partial: Partial | undefined
  /** Nothing is written beyond it. */
  readonly boundBytes: number
  /** Of a file, at least. */
  readonly fileLengthBytes: number
  readonly imageId: string
  /** Whether it has to be on the disk at the end. */
  readonly durable: boolean
  /** Whether it is read next, and then removed. */
  readonly temporary: boolean
}

/** The life of a volume: prepared at the first change, then written, then committed or abandoned, then closed. */
export function createVolume(init: VolumeInit): Volume {
  const { handle, path, target, partial, boundBytes, fileLengthBytes, imageId, durable, temporary } = init
  const created = partial !== undefined
  let prepared: Promise<void> | undefined
  let touched = false
  let committed = false
  let closed: Promise<void> | undefined
  let end = 0
  const written = new WrittenBlocks()
  const held = new HeldRanges(target.held)
  const background = durable ? new BackgroundSync(handle) : undefined
  // What is read next is best in the cache.
  const direct = temporary || handle.fd < 0 ? undefined : new DirectWrites(handle, target.kind, durable)

  const prepare = (): Promise<void> => {
    touched = true
    prepared ??= target.prepare()
    return prepared
  }
  const claim = (offset: number, length: number): void => {
    const to = offset + length
    if (
      !Number.isSafeInteger(offset) ||
      !Number.isSafeInteger(length) ||
      !Number.isSafeInteger(to) ||
      offset < 0 ||
      length < 0
    ) {
      throw new InvalidError({ reason: `Bytes ${offset} to ${to} of ${path} can't be written` })
    }
    if (target.kind === 'block-device' && to > target.sizeBytes) {
      const reason = `${formatBytes(to)} do not fit on ${path}, which has ${formatBytes(target.sizeBytes)}`
      throw new ImageTooBigError({ imageId, reason })
    }
    if (to > boundBytes) {
      const reason = `${formatBytes(to)} would be written to ${path}, and the disk has ${formatBytes(boundBytes)}`
      throw new ImageTooBigError({ imageId, reason })
    }
    end = Math.max(end, to)
  }
  /** Does it, and names the error where there was no room. */
  const withSpace = async (neededBytes: number, act: () => Promise<void>): Promise<void> => {
    try {
      await act()
    } catch (error) {
      const needed = Math.max(neededBytes, target.kind === 'file' ? target.sizeBytes : 0)
      throw (await spaceError(error, { path, neededBytes: needed, imageId })) ?? error
    }
  }

  const sync = async (): Promise<void> => {
    if (durable) await handle.datasync()
  }
  /** The head comes last, in one write: without it nothing else is found. */
  const writeHeld = async (totalBytes: number): Promise<void> => {
    const [head, ...others] = held.ranges
    if (head === undefined) return
    let isAnyWritten = target.kind === 'file'
    for (const range of others) {
      const bytes = held.bytesOf(range, totalBytes)
      if (bytes === undefined) continue
      await writeFully(handle, bytes, range.start)
      isAnyWritten = true
    }
    if (isAnyWritten) await sync()
    const bytes = held.bytesOf(head, totalBytes)
    if (bytes === undefined) return
    await writeFully(handle, bytes, head.start)
    await sync()
  }

  const abandon = async (): Promise<void> => {
    if (closed !== undefined || committed) return
    try {
      if (partial !== undefined) await partial.discard()
      else if (touched) await wipeContent()
    } catch {
      // Best effort: whatever failed before is what the caller has to hear of.
    }
  }
  const wipeContent = async (): Promise<void> => {
    if (target.kind === 'file') {
      // Also where the disk is full: zeros that are written would need room, and this gives some back.
      await handle.truncate(0)
      await handle.truncate(Math.max(end, target.sizeBytes))
    } else {
      for (const { start, end: stop } of target.held) await writeZeros(handle, start, stop - start)
    }
    // Also of what needn't be durable: its data may be on the disk by now, and what was there must be gone.
    if (!temporary) await handle.datasync()
  }
  const shut = async (): Promise<void> => {
    await abandon()
    await background?.settle().catch(() => undefined)
    await direct?.close()
    await handle.close()
    await partial?.close()
  }
  const close = (): Promise<void> => {
    closed ??= shut()
    return closed
  }

  return Object.freeze({
    path,
    kind: target.kind,
    sizeBytes: target.sizeBytes,
    created,
    get touched() {
      return touched
    },
    async write(chunk: Uint8Array, offset: number): Promise<void> {
      claim(offset, chunk.byteLength)
      await withSpace(offset + chunk.byteLength, async () => {
        await prepare()
        for (const part of held.take(offset, chunk.byteLength, chunk)) {
          const bytes = chunk.subarray(part.start, part.end)
          const at = offset + part.start
          written.add(at, bytes.byteLength)
          await target.reach(at + bytes.byteLength)
          const done = (await direct?.write(bytes, at)) ?? 0
          if (done < bytes.byteLength) await writeFully(handle, bytes.subarray(done), at + done)
        }
        // Also what went past the page cache: the disk has a cache of its own, which takes its time at the end.
        background?.wrote(chunk.byteLength)
      })
    },
    async zero(offset: number, length: number): Promise<void> {
      claim(offset, length)
      await withSpace(offset + length, async () => {
        await prepare()
        for (const part of held.take(offset, length)) {
          const at = offset + part.start
          const bytes = part.end - part.start
          if (!target.zeroed() || written.mayHave(at, bytes)) await writeZeros(handle, at, bytes)
        }
      })
    },
    async commit(totalBytes: number, check?: (path: string) => Promise<void>): Promise<void> {
      claim(totalBytes, 0)
      if (totalBytes < end) {
        throw new InvalidError({
          reason: `${path} has ${end} bytes written, and can't be committed with ${totalBytes}`,
        })
      }
      await withSpace(totalBytes, async () => {
        await prepare()
        const length = target.kind === 'file' ? Math.max(totalBytes, fileLengthBytes) : totalBytes
        if (partial !== undefined) await target.setLength(length)
        await background?.settle()
        await sync()
        if (partial === undefined) await target.setLength(length)
        await writeHeld(totalBytes)
      })
      await check?.(partial?.path ?? path)
      await partial?.publish({ durable })
      committed = true
    },
    abandon,
    close,
    [Symbol.asyncDispose]: close,
  })
}
