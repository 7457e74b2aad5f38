import { InvalidError, MiB } from '@disk-image/core'
import {
  layOut,
  maximumDiskBytes,
  type NewDisk,
  roundUp,
  sectorBytes,
  VhdError,
  type VhdStyle,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { openDisk } from '../chain/open-chain.ts'
import { newIdentity } from '../convert/streams.ts'
import { makeFile, type ReplaceOption } from '../files/new-file.ts'
import { createTarget, type FileTarget } from '../files/vhd-file.ts'
import { setVhdParent } from './set-vhd-parent.ts'

/** Options of {@link createVhd}. */
export interface CreateVhdOptions extends ReplaceOption {
  /** Bytes of the disk, rounded up to `alignBytes`. */
  readonly sizeBytes: number
  /** @default 'dynamic' */
  readonly type?: 'fixed' | 'dynamic' | undefined
  /** @default 'xenserver' for dynamic disks, 'windows' for fixed ones */
  readonly style?: VhdStyle | undefined
  /** What the size is rounded up to. @default 2 MiB, as XenServer wants it; 1 MiB, as Azure does, for fixed disks */
  readonly alignBytes?: number | undefined
  /** Bytes of a block: a power of two from 4 KiB to 2 MiB. @default 2 MiB */
  readonly blockSizeBytes?: number | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/**
 * Makes an empty disk as a new file, mode 0600. The file must not exist, unless it is to be replaced.
 *
 * @throws {InvalidError} where an option makes no disk
 */
export async function createVhd(path: string, options: CreateVhdOptions): Promise<void> {
  const { type = 'dynamic', blockSizeBytes, uniqueId } = options
  const style = options.style ?? (type === 'fixed' ? 'windows' : 'xenserver')
  const alignBytes = options.alignBytes ?? (type === 'fixed' ? MiB : 2 * MiB)
  const sizeBytes = checkSize(options.sizeBytes, alignBytes)
  if (
    blockSizeBytes !== undefined &&
    ![12, 13, 14, 15, 16, 17, 18, 19, 20, 21].some((n) => 2 ** n === blockSizeBytes)
  ) {
    throw new InvalidError({
      reason: `blockSizeBytes is ${blockSizeBytes}; a power of two from 4 KiB to 2 MiB is right`,
    })
  }
  if (
    uniqueId !== undefined &&
    (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(uniqueId) || uniqueId === zeroUuid)
  ) {
    throw new InvalidError({ reason: 'uniqueId is not a uuid' })
  }
  await makeFile(path, options, (temporary) =>
    writeEmpty(temporary, { type, style, sizeBytes, blockSizeBytes, uniqueId }),
  )
}

/** Options of {@link createSnapshot}. */
export interface CreateSnapshotOptions extends ReplaceOption {
  /** Bytes of the child's disk, rounded up to 2 MiB. @default the parent's size */
  readonly sizeBytes?: number | undefined
  /** What the parent is. @default 'vhd' */
  readonly parentFormat?: 'vhd' | 'raw' | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/**
 * Makes an empty differencing child of a disk as a new file: it reads as its parent does, and takes what is
 * written from now on.
 *
 * @throws {InvalidError} where the size is no size
 * @throws {VhdError} rules `child-smaller`, `zero-uuid`, or what is wrong with the parent
 */
export async function createSnapshot(
  path: string,
  parentPath: string,
  { sizeBytes, parentFormat = 'vhd', uniqueId, replace }: CreateSnapshotOptions = {},
): Promise<void> {
  const parent = await openDisk(parentFormat === 'raw' ? { source: parentPath, format: 'raw' } : parentPath)
  await parent.close()
  const wanted =
    sizeBytes === undefined ? roundUp(parent.sizeBytes, sectorBytes) : checkSize(sizeBytes, 2 * MiB)
  if (wanted < parent.sizeBytes) {
    const found = `${wanted} bytes on ${parent.sizeBytes}`
    throw new VhdError({ path, rule: 'child-smaller', reason: 'it would be smaller than its parent', found })
  }
  await makeFile(path, { replace }, async (temporary) => {
    await writeEmpty(temporary, { type: 'differencing', style: 'xenserver', sizeBytes: wanted, uniqueId })
    await setVhdParent(temporary, parentPath, { parentFormat })
  })
}

function checkSize(sizeBytes: number, alignBytes: number): number {
  if (!Number.isSafeInteger(alignBytes) || alignBytes < sectorBytes || alignBytes % sectorBytes !== 0) {
    throw new InvalidError({ reason: `alignBytes is ${alignBytes}; a multiple of ${sectorBytes} is right` })
  }
  const size = Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 ? roundUp(sizeBytes, alignBytes) : Infinity
  if (size > maximumDiskBytes) {
    throw new InvalidError({
      reason: `sizeBytes is ${sizeBytes}; a whole number up to ${maximumDiskBytes} is right`,
    })
  }
  return size
}

type EmptyDisk = Omit<NewDisk, 'uniqueId' | 'createdMs'> & { readonly uniqueId: string | undefined }

async function writeEmpty(path: string, disk: EmptyDisk): Promise<void> {
  const target = await createTarget(path)
  try {
    await writeMetadata(target, disk)
  } finally {
    await target.close()
  }
}

async function writeMetadata(target: FileTarget, disk: EmptyDisk): Promise<void> {
  const { bytes, footer } = layOut({ ...disk, ...newIdentity(disk.uniqueId) })
  await target.write(bytes, 0)
  await target.write(footer, disk.type === 'fixed' ? disk.sizeBytes : bytes.length)
  await target.sync()
}
