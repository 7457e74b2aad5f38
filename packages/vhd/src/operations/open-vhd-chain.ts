import { type Disk, type DiskReceiver } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { copyExtents, readExtents, type ReadOptions, type VhdExtent } from '../chain/extents.ts'
import { openDiskChain, type ChainRules } from '../chain/open-chain.ts'
import type { ChainSource } from '../chain/disk.ts'
import { readPieces } from '../chain/read-pieces.ts'
import { resolveRange } from '../chain/resolve.ts'

/** A chain of disks as one disk that can be read anywhere. */
export interface VhdChain extends Disk {
  /** Bytes of the disk that the leaf shows. */
  readonly size: number
  /** At most `length` bytes of the disk from `offset`, fewer only at its end. */
  read(offset: number, length: number): Promise<Uint8Array>
  /** The disk from one end to the other: extents in order and without gaps. */
  extents(options?: ReadOptions): AsyncGenerator<VhdExtent, void, void>
  /** The same, handed to a receiver that copies; memory stays flat however large the disk. */
  copyTo(receiver: DiskReceiver, options?: ReadOptions): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a VHD, or a chain of them with the leaf first, for reading. Files that were given open stay open.
 *
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that a disk or the chain breaks
 */
export async function openVhdChain(
  sources: ChainSource | readonly ChainSource[],
  rules: ChainRules = {},
): Promise<VhdChain> {
  const chain = await openDiskChain(isList(sources) ? sources : [sources], rules)
  const { sizeBytes: size, disks } = chain
  const opened: VhdChain = {
    size,
    async read(offset, length) {
      const start = Math.min(Math.max(0, offset), size)
      const end = Math.min(start + Math.max(0, length), size)
      const bytes = allocateBuffer(end - start)
      if (end > start) await readPieces(disks, await resolveRange(disks, start, end), bytes, start)
      return bytes
    },
    extents: (options) => readExtents(chain, options),
    copyTo: (receiver, options) => copyExtents(chain, receiver, options),
    close: () => chain.close(),
    [Symbol.asyncDispose]: () => chain.close(),
  }
  return opened
}

function isList(sources: ChainSource | readonly ChainSource[]): sources is readonly ChainSource[] {
  return Array.isArray(sources)
}

/**
 * The extents of a VHD or chain, leaf first: data, or known to read as zero, in order and without gaps.
 *
 * @throws {VhdError} with the rule that a disk or the chain breaks
 */
export async function* readChain(
  sources: ChainSource | readonly ChainSource[],
  options: ReadOptions & ChainRules = {},
): AsyncGenerator<VhdExtent, void, void> {
  await using chain = await openVhdChain(sources, options)
  yield* chain.extents(options)
}
