import { type CallOptions, type Disk, InvalidError, type RandomAccessReader } from '@disk-image/core'
import { DiskFormatError, openLuks } from '@disk-image/disk'
import { openQcow2 } from '@disk-image/disk/qcow2'
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
 * Opens the disk inside a LUKS container, and judges it as any raw disk is.
 *
 * @throws {ImageUnacceptableError} where it may not be used
 * @throws {DiskFormatError} where it can't be opened, `luks-passphrase` for a wrong passphrase
 */
export async function openEncrypted(services: Services, encrypted: Encrypted): Promise<Disk> {
  const { imageId, reader, passphraseFile, volumeSizeGiB, signal } = encrypted
  const passphrase = await readPassphrase(passphraseFile)
  const isQcow2 = encrypted.format === 'qcow2'
  const opening = (isQcow2 ? openQcow2 : openLuks)(reader, { passphrase, signal })
  const disk = await opening.finally(() => passphrase.fill(0))
  // Whatever a guest wrote into a disk that has a format is its own.
  if (isQcow2) return disk
  try {
    const inspection = await inspect(disk, { signal })
    checkContent(services, imageId, { claimedFormat: 'raw', inspection, volumeSizeGiB })
    return disk
  } catch (error) {
    await disk.close()
    throw error
  }
}

/**
 * Judges the disk inside a container that qemu-img opens next. What only qemu-img can open is left to it.
 *
 * @throws as {@link openEncrypted}
 */
export async function checkEncrypted(services: Services, encrypted: Encrypted): Promise<void> {
  try {
    await using disk = await openEncrypted(services, encrypted)
    void disk
  } catch (error) {
    if (error instanceof DiskFormatError && error.rule === 'luks-unsupported') return
    throw error
  }
}

/** All bytes of the file, as cryptsetup and qemu-img take them. The caller wipes them. */
async function readPassphrase(file: string): Promise<Uint8Array> {
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
