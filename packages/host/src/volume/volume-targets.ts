import { readFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { pageBytes, type ProcessRunner } from '@disk-image/core'
import { sysfsFolder } from './block-device.ts'
import type { VolumeTarget } from './volume.ts'

/** A regular file: cut to nothing first, so that every hole reads as zeros. It has its full length only at the end. */
export function fileTarget(handle: FileHandle, sizeBytes: number): VolumeTarget {
  return {
    kind: 'file',
    sizeBytes,
    async prepare() {
      // ext4 writes a file that was cut to the disk when it is closed, even one that was empty and is removed next.
      if ((await handle.stat()).size > 0) await handle.truncate(0)
      // Writes past the end take turns; those before it don't.
      if (sizeBytes > pageBytes) await handle.truncate(sizeBytes - pageBytes)
    },
    zeroed: () => true,
    setLength: (totalBytes) => handle.truncate(totalBytes),
  }
}

/** What a device's target is made from. */
export interface DeviceTargetInit {
  readonly handle: FileHandle
  readonly path: string
  readonly capacity: number
  readonly runner: ProcessRunner
  readonly signal: AbortSignal | undefined
}

/**
 * A block device: zeroed as a whole before the first write where the device can do that by itself
 * (`blkdiscard -z`); otherwise every skipped range gets zeros written.
 */
export function deviceTarget(init: DeviceTargetInit): VolumeTarget {
  const { capacity } = init
  let zeroed = false
  return {
    kind: 'block-device',
    sizeBytes: capacity,
    async prepare() {
      zeroed = (await zeroesByItself(init.path)) && (await discardToZeros(init))
    },
    zeroed: () => zeroed,
    // A device has the length it has.
    setLength: () => Promise.resolve(),
  }
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

async function discardToZeros({
  path: device,
  runner,
  signal,
  handle,
  capacity,
}: DeviceTargetInit): Promise<boolean> {
  try {
    // --force: the device is ours already, and blkdiscard would want it for itself.
    await runner.run({ file: 'blkdiscard', args: ['--zeroout', '--force', device] }, { signal })
  } catch {
    signal?.throwIfAborted()
    return false
  }
  return readsAsZeros(handle, capacity)
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
