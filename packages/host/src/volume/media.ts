import { readFile, type FileHandle, stat } from 'node:fs/promises'
import path from 'node:path'
import { MiB, type ProcessRunner } from '@disk-image/core'
import { allocateSharedBuffer, pageBytes, readFully, writeFully } from '@disk-image/io'
import { sysfsFolder } from '../files/block-device.ts'
import { type HeldRange, heldRangesOf, sectorBytes, signaturesIn } from './ranges.ts'

/** What a kind of volume does differently. Offsets and lengths are checked by then. */
export interface Medium {
  readonly kind: 'file' | 'block-device'
  readonly sizeBytes: number
  /** What is written last. Nothing of a file that has no name yet, or is nobody's but ours. */
  readonly held: readonly HeldRange[]
  /** Called once, before anything is written: makes all old content unreadable, as cheaply as it can. */
  prepare(): Promise<void>
  /** Whether `prepare` left nothing but zeros. */
  zeroed(): boolean
  /** Called before a write that ends there. */
  reach(end: number): Promise<void>
  setLength(totalBytes: number): Promise<void>
}

/** How far before its end an unfinished file's data stops: nothing is where labels at the end are looked for. */
const marginBytes = MiB
/** How much an unfinished file of unknown size grows at once. */
const growthBytes = 64 * MiB

/**
 * A regular file: cut to nothing first, so that every hole reads as zeros. A new one has its full length only at the
 * end; one that was there is longer until then.
 *
 * @param isOpenToAll whether others may look at it before it is committed
 * @param keptBytes of a new one: what stays, from the start
 */
export function fileMedium(
  handle: VolumeHandle,
  sizeBytes: number,
  isOpenToAll: boolean,
  keptBytes = 0,
): Medium {
  let length = 0
  let growing: Promise<void> = Promise.resolve()
  const grow = async (end: number): Promise<void> => {
    if (end + marginBytes <= length) return
    length = end + marginBytes + growthBytes
    await handle.truncate(length)
  }
  return {
    kind: 'file',
    sizeBytes,
    held: isOpenToAll ? heldRangesOf(Infinity) : [],
    async prepare() {
      // ext4 writes a file that was cut to the disk when it is closed, even one that was empty and is removed next.
      if ((await handle.stat()).size > 0) await handle.truncate(keptBytes)
      // Writes past the end take turns; those before it don't.
      if (isOpenToAll) length = sizeBytes + marginBytes
      else if (sizeBytes > pageBytes) length = sizeBytes - pageBytes
      if (length > keptBytes) await handle.truncate(length)
    },
    zeroed: () => true,
    reach(end) {
      if (isOpenToAll) growing = growing.then(() => grow(end))
      return growing
    },
    setLength: (totalBytes) => handle.truncate(totalBytes),
  }
}

/** What a device's medium is made from. */
export interface DeviceMediumInit {
  readonly handle: VolumeHandle
  /** The same, where this process opened it: then the device can be asked to clear itself. */
  readonly own: FileHandle | undefined
  readonly path: string
  readonly capacity: number
  readonly durable: boolean
  readonly runner: ProcessRunner
  readonly signal: AbortSignal | undefined
}

/**
 * A block device: zeroed as a whole before the first write where the device can do that by itself
 * (`blkdiscard -z`); otherwise every range to be zero gets zeros written.
 */
export function deviceMedium(init: DeviceMediumInit): Medium {
  const { capacity, handle, durable } = init
  const held = heldRangesOf(capacity)
  let zeroed = false
  return {
    kind: 'block-device',
    sizeBytes: capacity,
    held,
    async prepare() {
      const { own } = init
      // What was there is not to be found any more, before anything else of it is gone, and all of that before the
      // first of what comes next is there. What is found by its first sector may be found by others: they are next.
      const [first = 0, ...others] = own === undefined ? [] : await signaturesOf(own, held[0])
      for (const places of [[first], others]) {
        for (const place of places) await writeZeros(handle, place, Math.min(sectorBytes, capacity))
        if (durable && places.length > 0) await handle.datasync()
      }
      for (const { start, end } of held) await writeZeros(handle, start, end - start)
      if (durable) await handle.datasync()
      zeroed = own !== undefined && (await zeroesByItself(init.path)) && (await discardToZeros(own, init))
    },
    zeroed: () => zeroed,
    reach: () => Promise.resolve(),
    // A device has the length it has.
    setLength: () => Promise.resolve(),
  }
}

async function signaturesOf(handle: FileHandle, head: HeldRange | undefined): Promise<readonly number[]> {
  const bytes = Buffer.alloc(head?.end ?? 0)
  await readFully(handle, bytes, 0)
  return signaturesIn(bytes)
}

/** Whether the device clears ranges by itself. Without that the kernel would write zeros, to all of it. */
async function zeroesByItself(device: string): Promise<boolean> {
  const folder = await sysfsFolder(device)
  for (const queue of [path.join(folder, 'queue'), path.join(folder, '..', 'queue')]) {
    try {
      return Number(await readFile(path.join(queue, 'write_zeroes_max_bytes'), 'latin1')) > 0
    } catch {
      // A partition has no queue of its own: its disk's counts.
    }
  }
  return false
}

async function discardToZeros(
  own: FileHandle,
  { path: device, runner, signal, capacity }: DeviceMediumInit,
): Promise<boolean> {
  try {
    // --force: the device is ours already, and blkdiscard would want it for itself.
    await runner.run({ file: 'blkdiscard', args: ['--zeroout', '--force', device] }, { signal })
  } catch {
    signal?.throwIfAborted()
    return false
  }
  return readsAsZeros(own, capacity)
}

/** A look at both ends: a device that says yes and does nothing must not leak what was on it. */
async function readsAsZeros(handle: FileHandle, capacity: number): Promise<boolean> {
  const length = Math.min(capacity, 65_536)
  for (const offset of [0, capacity - length]) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset)
    if (bytesRead !== length || buffer.some((byte) => byte !== 0)) return false
  }
  return true
}

const zeroBlock = allocateSharedBuffer(MiB)

/** Writes zeros, a MiB at a time, from one block that is never written to. */
export async function writeZeros(
  handle: Pick<FileHandle, 'write'>,
  offset: number,
  length: number,
): Promise<void> {
  for (let done = 0; done < length; done += zeroBlock.length) {
    await writeFully(handle, zeroBlock.subarray(0, Math.min(zeroBlock.length, length - done)), offset + done)
  }
}

/** What of a handle a volume is written with. */
export type VolumeHandle = Pick<FileHandle, 'close' | 'datasync' | 'fd' | 'stat' | 'truncate' | 'write'>

/**
 * Writes, through the runner's root helper, what this user may not open: one `dd` for each change, which is on the
 * disk when it ends. For the few that matter; a disk's bulk is a tool's.
 *
 * @param file absolute; it exists
 */
export function createRootHandle(file: string, runner: ProcessRunner, signal?: AbortSignal): VolumeHandle {
  const dd = async (args: readonly string[], input?: Uint8Array): Promise<void> => {
    const all = [`of=${file}`, ...args, 'status=none']
    await runner.run({ file: 'dd', args: all }, { asRoot: true, signal, input })
  }
  const handle = {
    fd: -1,
    // In one write, as it would be by this process.
    async write(chunk: Uint8Array, from: number, length: number, offset: number) {
      const args = [`bs=${length}`, `seek=${offset}`, 'iflag=fullblock', 'oflag=seek_bytes']
      await dd([...args, 'conv=notrunc,nocreat,fsync'], Buffer.from(chunk.subarray(from, from + length)))
      return { bytesWritten: length, buffer: chunk }
    },
    truncate: (length = 0) => dd(['if=/dev/null', 'bs=1', `seek=${length}`, 'count=0', 'conv=nocreat,fsync']),
    datasync: () => dd(['if=/dev/null', 'count=0', 'conv=notrunc,nocreat,fsync']),
    stat: () => stat(file),
    close: () => Promise.resolve(),
  }
  return handle as unknown as VolumeHandle
}
