import { unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { formatBytes, ImageTooBigError, InvalidError, MiB } from '@disk-image/core'
import { BackgroundSync } from './background-sync.ts'
import { DirectWrites } from './direct-writes.ts'
import { spaceError } from './space-error.ts'
import type { Volume, VolumeTarget } from './volume.ts'
import { writeFully, writeZeros } from './write-fully.ts'
import { WrittenBlocks } from './written-blocks.ts'

/** What a volume is made from. */
export interface VolumeInit {
  readonly handle: FileHandle
  readonly path: string
  readonly target: VolumeTarget
  readonly created: boolean
  readonly imageId: string
  /** Whether it has to be on the disk at the end. */
  readonly durable: boolean
  /** Whether it is read next, and then removed. */
  readonly temporary: boolean
}

/** The life of a volume: prepared at the first change, then written, then finished or tainted, then closed. */
export function createVolume(init: VolumeInit): Volume {
  const { handle, path, target, created, imageId, durable, temporary } = init
  let prepared: Promise<void> | undefined
  let touched = false
  let finished = false
  let closed: Promise<void> | undefined
  let end = 0
  const written = new WrittenBlocks()
  const background = durable ? new BackgroundSync(handle) : undefined
  // What is read next is best in the cache.
  const direct = temporary ? undefined : new DirectWrites(handle, target.kind, durable)

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

  const taint = async (): Promise<void> => {
    if (closed !== undefined || finished) return
    try {
      if (created) await unlink(path)
      if (!touched) return
      const size = target.kind === 'file' ? (await handle.stat()).size : target.sizeBytes
      const length = Math.min(size, MiB)
      await writeZeros(handle, 0, length)
      await writeZeros(handle, size - length, length)
      // Also of what needn't be durable: its data may be on the disk by now, and these ends must not be the old ones.
      if (!temporary && (durable || !created)) await handle.datasync()
    } catch {
      // Best effort: whatever failed before is what the caller has to hear of.
    }
  }
  const shut = async (): Promise<void> => {
    await taint()
    await background?.settle().catch(() => undefined)
    await direct?.close()
    await handle.close()
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
        written.add(offset, chunk.byteLength)
        await prepare()
        const done = (await direct?.write(chunk, offset)) ?? 0
        if (done < chunk.byteLength) await writeFully(handle, chunk.subarray(done), offset + done)
        // Also what went past the page cache: the disk has a cache of its own, which takes its time at the end.
        background?.wrote(chunk.byteLength)
      })
    },
    async skip(offset: number, length: number): Promise<void> {
      claim(offset, length)
      await withSpace(offset + length, async () => {
        await prepare()
        if (!target.zeroed() || written.mayHave(offset, length)) await writeZeros(handle, offset, length)
      })
    },
    async finish(totalBytes: number): Promise<void> {
      claim(totalBytes, 0)
      if (totalBytes < end) {
        throw new InvalidError({
          reason: `${path} has ${end} bytes written, and can't be finished with ${totalBytes}`,
        })
      }
      await withSpace(totalBytes, async () => {
        await prepare()
        await target.setLength(totalBytes)
        await background?.settle()
        if (durable) await handle.datasync()
      })
      finished = true
    },
    taint,
    close,
    [Symbol.asyncDispose]: close,
  })
}
