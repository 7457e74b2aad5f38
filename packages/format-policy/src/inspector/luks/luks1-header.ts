import type { Fields } from '@disk-image/disk/layouts'
import { parseHash } from './key-derivation.ts'
import { malformed } from './problem.ts'
import { parseCipher } from './sector-cipher.ts'
import { type KeySlot, type LuksVolume, stripes } from './volume.ts'

export const luks1HeaderBytes = 592
const activeSlot = 0x00ac71f3

/**
 * Reads a header of version 1.
 *
 * @throws {LuksProblem} for what is damaged, made up or not supported
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf
 */
export function parseLuks1(head: Fields, fileBytes: number): LuksVolume {
  if (head.length < luks1HeaderBytes) throw malformed('The file ends within its header')
  const keyBytes = head.u32be(108)
  const cipherName = `${head.text(8, 32)}-${head.text(40, 32)}`
  const cipher = parseCipher(cipherName, keyBytes, 8)
  const hash = parseHash(head.text(72, 32), 72)
  const payloadOffset = head.u32be(104) * 512
  if (payloadOffset < 1024 || payloadOffset > fileBytes) {
    throw malformed('The encrypted data is not in the file', { offset: 104, found: `${payloadOffset}` })
  }
  const digest = {
    kdf: { hash, iterations: head.u32be(164), salt: head.bytes.slice(132, 164) },
    value: head.bytes.slice(112, 132),
  }
  const slots: KeySlot[] = []
  for (let id = 0; id < 8; id += 1) {
    const at = 208 + id * 48
    if (head.u32be(at) !== activeSlot) continue
    const areaOffset = head.u32be(at + 40) * 512
    if (head.u32be(at + 44) !== stripes) {
      throw malformed('A key slot has an impossible number of stripes', {
        offset: at + 44,
        found: `${head.u32be(at + 44)}`,
        accepted: `${stripes}`,
      })
    }
    if (areaOffset < 1024 || areaOffset + keyBytes * stripes > payloadOffset) {
      throw malformed('A key slot lies in the header or in the data', {
        offset: at + 40,
        found: `${areaOffset}`,
      })
    }
    const kdf = { hash, iterations: head.u32be(at + 4), salt: head.bytes.slice(at + 8, at + 40) }
    slots.push({ id, kdf, cipher, cipherKeyBytes: keyBytes, areaOffset, stripeHash: hash, digest })
  }
  return {
    version: 1,
    cipherName,
    cipher,
    keyBytes,
    slots,
    otherKdfs: [],
    payloadOffset,
    payloadBytes: Math.floor((fileBytes - payloadOffset) / 512) * 512,
    sectorBytes: 512,
    vectorOffset: 0,
  }
}
