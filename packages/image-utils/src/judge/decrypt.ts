import { type CallOptions, type Disk, InvalidError, type RandomAccessReader } from '@disk-image/core'
import { DiskFormatError, openLuks } from '@disk-image/disk'
import { openQcow2, Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { inspect } from '@disk-image/format-policy/inspector'
import { openSource } from '@disk-image/host'
import { readFully } from '@disk-image/io'
import type { Services } from '../services/services.ts'
import { checkContent } from './judge.ts'

/** More than any passphrase or key file has. */
const mostPassphraseBytes = 64 * 1024

/** A container that is opened, and for whom. */
export interface Encrypted extends Pick<CallOptions, 'signal'> {
  readonly imageId: string
  /** The container; it stays open. */
  readonly reader: RandomAccessReader
  readonly passphraseFile: string
  /** A qcow2 that is encrypted with LUKS instead. */
  readonly format?: 'qcow2' | 'luks' | undefined
  readonly volumeSizeGiB?: number | undefined
}

/**
 * Opens the disk inside a LUKS container or an encrypted qcow2, and judges it as any raw disk is: nobody could look into
 * it before. Whatever a guest wrote into a qcow2 that is not encrypted is its own.
 *
 * @throws {ImageUnacceptableError} where it may not be used
 * @throws {DiskFormatError | Qcow2DecodeError} where it can't be opened, `luks-passphrase` for a wrong passphrase
 */
export async function openEncrypted(services: Services, encrypted: Encrypted): Promise<Disk> {
  const { imageId, reader, passphraseFile, volumeSizeGiB, signal } = encrypted
  const passphrase = await readPassphrase(passphraseFile)
  const options = { passphrase, signal }
  const opening = encrypted.format === 'qcow2' ? openQcow2(reader, options) : openLuks(reader, options)
  const disk = await opening.finally(() => passphrase.fill(0))
  try {
    if ('isEncrypted' in disk && !disk.isEncrypted) return disk
    const inspection = await inspect(disk, { signal })
    checkContent(services, imageId, { claimedFormat: 'raw', inspection, volumeSizeGiB })
    return disk
  } catch (error) {
    await disk.close()
    throw error
  }
}

/**
 * Judges the disk inside what qemu-img opens next. What only qemu-img can open is left to it.
 *
 * @throws as {@link openEncrypted}
 */
export async function checkEncrypted(services: Services, encrypted: Encrypted): Promise<void> {
  try {
    await using disk = await openEncrypted(services, encrypted)
    void disk
  } catch (error) {
    if (!isLeftToTool(error)) throw error
  }
}

/** Whether an error of {@link openEncrypted} is that only qemu-img can open it. */
export function isLeftToTool(error: unknown): boolean {
  const isOfFormat = error instanceof DiskFormatError || error instanceof Qcow2DecodeError
  return isOfFormat && ['luks-unsupported', 'qcow2-unsupported'].includes(error.rule)
}

/** All bytes of the file, as cryptsetup and qemu-img take them. The caller wipes them. */
export async function readPassphrase(file: string): Promise<Uint8Array> {
  const { handle, sizeBytes } = await openSource(file, { regularOnly: true })
  try {
    if (sizeBytes > mostPassphraseBytes) {
      throw new InvalidError({ reason: `${file} is too long for a passphrase: ${sizeBytes} bytes.` })
    }
    const bytes = new Uint8Array(sizeBytes)
    return bytes.subarray(0, await readFully(handle, bytes, 0))
  } finally {
    await handle.close()
  }
}
