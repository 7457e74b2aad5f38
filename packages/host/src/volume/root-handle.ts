import { stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { ProcessRunner } from '@disk-image/core'

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
