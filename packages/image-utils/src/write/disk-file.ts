import type { CallOptions, Disk, RandomAccessReader } from '@disk-image/core'
import { openDisk, openRaw, type ReadableFormat } from '@disk-image/disk'
import { openVhdChain } from '@disk-image/vhd'
import { type FileReader, openFileReader } from '../files/file-reader.ts'
import type { Services } from '../services/services.ts'
import { holesOf } from './holes.ts'

/** A disk in a file, of known format. */
export interface DiskFile {
  readonly path: string
  /** The same, open, where it was judged through this handle. */
  readonly reader?: RandomAccessReader | undefined
  /** A chain of VHDs instead, leaf first. */
  readonly chain?: readonly string[] | undefined
  /** What is inside, where that is open already. */
  readonly disk?: Disk | undefined
  /** In qemu-img's terms. */
  readonly format: string
  /** Undefined where only the key tells. */
  readonly virtualSizeBytes: number | undefined
}

/** A disk, and what was opened for it, which ends with it. What the caller had open stays so. */
export interface OpenedDisk extends AsyncDisposable {
  readonly disk: Disk
}

/** The disk in a file, whatever its format. */
export async function openDiskFile(
  services: Services,
  file: DiskFile,
  { signal }: CallOptions = {},
): Promise<OpenedDisk> {
  if (file.disk !== undefined) return opened(file.disk)
  // The archive's file names say who belongs to whom, whatever the disks themselves note.
  if (file.chain !== undefined) {
    const chain = await openVhdChain(file.chain, { checkParentIds: false })
    return opened(chain, () => chain.close())
  }
  const reader = file.reader ?? (await openFileReader(file.path))
  const close = async (): Promise<void> => {
    if (file.reader === undefined) await (reader as FileReader).close()
  }
  try {
    const disk =
      file.format === 'raw'
        ? await openRaw(reader, { signal, holes: await holesOf(services, file.path, signal) })
        : await openDisk(reader, file.format as ReadableFormat, { signal })
    return opened(disk, async () => {
      await disk.close()
      await close()
    })
  } catch (error) {
    await close()
    throw error
  }
}

function opened(disk: Disk, close: () => Promise<void> = () => Promise.resolve()): OpenedDisk {
  return { disk, [Symbol.asyncDispose]: close }
}
