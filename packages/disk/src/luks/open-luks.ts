import type { Disk, Extent, RandomAccessReader } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { copyExtents } from '../blocks/copy-extents.ts'
import { createDisk, type DiskSource } from '../blocks/create-disk.ts'
import { DiskFormatError } from '../errors.ts'
import { ImageFile } from '../image-file.ts'
import type { LuksLayout } from './luks-layout.ts'
import { hasBlockXor } from './block-xor.ts'
import { notRead } from './cipher-name.ts'
import { CipherPool } from './cipher-pool.ts'
import { luksCrypto } from './node-crypto.ts'
import { type LuksLimits, LuksRefusal, readLuksLayout, unlockLuks } from './unlock.ts'

/** Options of {@link openLuks}. */
export interface OpenLuksOptions extends LuksLimits {
  /** All bytes of it count, an end of line too. It may be wiped when the disk is open. */
  readonly passphrase: Uint8Array
  /** Ends every read, from now until the disk is closed. */
  readonly signal?: AbortSignal | undefined
}

/** The disk inside a LUKS container. */
export interface LuksDisk extends Disk {
  readonly layout: LuksLayout
  /** The key slot that the passphrase opened. */
  readonly keySlot: number
}

/**
 * Opens the disk inside a LUKS container, version 1 or 2, whose data is behind its header.
 *
 * @throws {DiskFormatError} `luks-passphrase` where the passphrase opens no key slot; `luks-unsupported` for what is
 * not read here, `luks-key-derivation` for what takes too much time or memory, and other rules for what is damaged
 */
export async function openLuks(reader: RandomAccessReader, options: OpenLuksOptions): Promise<LuksDisk> {
  try {
    const { layout, pool, keySlot } = await unlockContainer(reader, options)
    return createLuksDisk(new ImageFile(reader, 'luks'), layout, pool, keySlot, options.signal)
  } catch (error) {
    throw toDiskFormatError(error)
  }
}

/** The same refusal as an error of this package. */
export function toDiskFormatError(error: unknown): unknown {
  return error instanceof LuksRefusal ? new DiskFormatError({ ...error.refusal, cause: undefined }) : error
}

/**
 * Opens a container, but for its disk. The pool has to be closed.
 *
 * @throws {LuksRefusal}
 */
export async function unlockContainer(
  reader: RandomAccessReader,
  options: OpenLuksOptions,
): Promise<{ readonly layout: LuksLayout; readonly pool: CipherPool; readonly keySlot: number }> {
  const crypto = luksCrypto()
  if (!hasBlockXor()) {
    throw new LuksRefusal(
      notRead('This Node.js runs without WebAssembly', 'none', 'Node.js without --jitless', 0),
    )
  }
  const layout = await readLuksLayout(reader, crypto, options.signal)
  const { key, keySlot } = await unlockLuks(reader, layout, options.passphrase, crypto, options)
  return { layout, pool: createPool(layout, key), keySlot }
}

function createPool({ cipher }: LuksLayout, key: Uint8Array): CipherPool {
  try {
    // A layout without problems has one.
    if (cipher === undefined) throw new TypeError('The layout has no cipher')
    return new CipherPool(cipher, key)
  } finally {
    key.fill(0)
  }
}

function createLuksDisk(
  file: ImageFile,
  layout: LuksLayout,
  pool: CipherPool,
  keySlot: number,
  signal: AbortSignal | undefined,
): LuksDisk {
  const { sizeBytes: size, sectorBytes, payloadOffset, vectorOffset } = layout
  const fill: DiskSource['fill'] = async (bytes, offset, _isZero, requireOpen) => {
    const start = Math.floor(offset / sectorBytes) * sectorBytes
    const stop = Math.ceil((offset + bytes.length) / sectorBytes) * sectorBytes
    const isWhole = stop - start === bytes.length
    const sectors = isWhole ? bytes : allocateBuffer(stop - start)
    await file.fill(payloadOffset + start, sectors)
    requireOpen()
    await pool.run('decrypt', sectors, { first: vectorOffset + start / 512, sectorBytes })
    if (!isWhole) bytes.set(sectors.subarray(offset - start, offset - start + bytes.length))
  }
  // What is zero inside isn't zero outside, and the other way round.
  async function* extents(): AsyncGenerator<Extent, void, void> {
    if (size > 0) yield { offset: 0, length: size, kind: 'data' }
  }
  const disk = createDisk({ size, fill, extents }, signal)
  const close = async (): Promise<void> => {
    await disk.close()
    await pool.close()
  }
  return {
    ...disk,
    layout,
    keySlot,
    copyTo: (receiver, options) => copyExtents(disk, receiver, options, pool.allocator()),
    close,
    [Symbol.asyncDispose]: close,
  }
}
