import type { RandomAccessReader } from '@disk-image/core'
import type { CipherPool } from '../luks/cipher-pool.ts'
import { unlockContainer } from '../luks/open-luks.ts'
import { LuksRefusal } from '../luks/unlock.ts'
import { Qcow2DecodeError, refuse } from './errors.ts'
import type { Qcow2Layout } from './layout.ts'

/** What is encrypted is numbered by its place in the file, in sectors of so many bytes. */
export const cipherSectorBytes = 512

/**
 * Opens the LUKS header that an encrypted image has among its clusters.
 *
 * @throws {Qcow2DecodeError} `luks-passphrase` where the passphrase opens no key slot, and as a container's header
 */
export async function openCipher(
  reader: RandomAccessReader,
  { luks }: Qcow2Layout,
  passphrase: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<CipherPool> {
  const offset = Number(luks?.offset)
  const size = Number(luks?.length)
  if (!Number.isSafeInteger(offset + size) || offset + size > reader.size) {
    refuse('qcow2-encryption', 'the LUKS header lies outside the file')
  }
  const header: RandomAccessReader = {
    size,
    read: (start, length, into) =>
      reader.read(offset + start, Math.max(0, Math.min(length, size - start)), into),
  }
  try {
    const { layout, pool } = await unlockContainer(header, { passphrase, signal })
    if (layout.version === 1) return pool
    await pool.close()
    return refuse('qcow2-encryption', 'the LUKS header is of another version than 1')
  } catch (error) {
    if (!(error instanceof LuksRefusal)) throw error
    const { rule, reason } = error.refusal
    const place = error.refusal.offset === undefined ? undefined : offset + error.refusal.offset
    throw new Qcow2DecodeError({ rule, reason, offset: place })
  }
}
