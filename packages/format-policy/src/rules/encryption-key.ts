import type { Verdict } from '@disk-image/core'
import { accepted } from './accepted.ts'
import type { InspectionResult } from '../inspector/index.ts'

/**
 * Whether a qcow2 that is encrypted can be opened. Its disk is asked for by nobody without a key, and LUKS is the
 * only method that tools still write.
 */
export function judgeKey(
  { format, details, checks }: Pick<InspectionResult, 'format' | 'details' | 'checks'>,
  hasPassphrase: boolean,
): Verdict {
  const { encryption } = details
  if (format !== 'qcow2' || encryption === undefined || (encryption === 'luks' && hasPassphrase)) {
    return accepted
  }
  const known = encryption === 'luks'
  return {
    ok: false,
    rule: 'qcow2-encryption',
    reason: known
      ? 'The image is encrypted (luks), and there is no passphrase for it'
      : `The image is encrypted by a method that is not opened (${encryption})`,
    found: encryption,
    offset: checks.find(({ name }) => name === 'encryption')?.offset,
    accepted: known
      ? 'its passphrase (sourcePassphraseFile, --source-passphrase-file) for a volume of the format luks'
      : 'an image that is encrypted with LUKS, or not at all (`qemu-img convert` makes one)',
  }
}
