import type { Refusal } from '@disk-image/core'
import type { Fields } from '../layouts/fields.ts'
import { hex, printable } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { isRefusal, parseCipher, parseHash } from './cipher-name.ts'
import {
  luks1Bytes,
  type LuksKeySlot,
  type LuksLayout,
  luksStripes,
  mostIterations,
  nothing,
} from './luks-layout.ts'

const slots = 8
/** Key material begins on a page of its own. */
const firstKeySector = 8
/** State of a key slot in use. */
export const activeSlot = 0x00ac71f3
export const inactiveSlot = 0x0000dead

/** Parses a header of version 1. */
export function parseLuks1(head: Fields, fileBytes: number): LuksLayout {
  const problems = new Problems('luks')
  const keyBytes = head.u32be(108)
  const names = [head.text(8, 32), head.text(40, 32), head.text(72, 32)]
  const cipherName = `${names[0]}-${names[1]}`
  const payloadOffset = head.u32be(104) * 512
  if (!names.every((name) => /^[a-z0-9][a-z0-9:_-]*$/i.test(name))) {
    problems.add('header', {
      reason: 'The cipher is not named',
      offset: 8,
      found: printable(names.join(' ')),
      accepted: 'cipher, mode and hash',
    })
  }
  if (keyBytes === 0 || keyBytes > 512) {
    problems.add('header', {
      reason: 'The key has no possible length',
      offset: 108,
      found: `${keyBytes}`,
      accepted: '1 to 512',
    })
  }
  checkIterations(head.u32be(164), 164, problems)
  checkSlots(head, keyBytes, problems)
  if (fileBytes < Math.max(luks1Bytes, payloadOffset)) {
    problems.add('truncated', {
      reason: 'The file ends before its encrypted data',
      offset: 104,
      found: `${fileBytes} bytes`,
      accepted: `at least ${Math.max(luks1Bytes, payloadOffset)} bytes`,
    })
  }
  const cipher = parseCipher(cipherName, keyBytes, 8)
  return Object.freeze({
    ...nothing,
    version: 1,
    cipherName,
    keyBytes,
    payloadOffset,
    sizeBytes: Math.max(0, Math.floor((fileBytes - payloadOffset) / 512) * 512),
    ...(isRefusal(cipher) ? { unsupported: [cipher] } : { cipher }),
    ...keySlots(head, cipherName, keyBytes, names[2] ?? ''),
    problems: problems.list,
  })
}

/** Where a slot's material is: sectors from `start` to before `end`, in whole pages. */
interface Region {
  readonly slot: number
  readonly start: number
  readonly end: number
}

function checkSlots(head: Fields, keyBytes: number, problems: Problems): void {
  const regions: Region[] = []
  for (let slot = 0; slot < slots; slot += 1) {
    const at = 208 + slot * 48
    const state = head.u32be(at)
    const start = head.u32be(at + 40)
    const stripes = head.u32be(at + 44)
    const isWhole = head.length >= at + 48
    if (isWhole && state !== activeSlot && state !== inactiveSlot) {
      problems.add('header', {
        reason: 'A key slot has no possible state',
        offset: at,
        found: hex(state),
        accepted: `${hex(activeSlot)} or ${hex(inactiveSlot)}`,
      })
    }
    if (isWhole && stripes !== luksStripes) {
      problems.add('header', {
        reason: 'A key slot has an impossible number of stripes',
        offset: at + 44,
        found: `${stripes}`,
        accepted: `${luksStripes}`,
      })
    }
    if (isWhole) regions.push({ slot, start, end: start + Math.ceil((keyBytes * stripes) / 4096) * 8 })
    if (state === activeSlot) checkIterations(head.u32be(at + 4), at + 4, problems)
  }
  checkRegions(regions, head.u32be(104), problems)
}

function checkRegions(regions: readonly Region[], payloadSector: number, problems: Problems): void {
  for (const { start, end, slot } of regions) {
    const clash = regions.some((other) => other.slot < slot && other.start < end && start < other.end)
    if (start >= firstKeySector && end <= payloadSector && !clash) continue
    problems.add('header', {
      reason: 'Key slots overlap each other, the header or the data',
      offset: 248 + slot * 48,
      found: `sectors ${start} to ${end}`,
      accepted: 'none',
    })
  }
}

/** Deriving a key costs as much time as the header says, so what it may say is bounded. */
export function checkIterations(iterations: number, offset: number, problems: Problems): void {
  if (iterations >= 1 && iterations <= mostIterations) return
  problems.add('key-derivation', {
    reason:
      iterations === 0
        ? 'The header asks for no work at all, so no key can be derived'
        : 'The header asks for more work than any key needs, which would keep a processor busy',
    offset,
    found: `${iterations} iterations`,
    accepted: `1 to ${mostIterations}`,
  })
}

function keySlots(
  head: Fields,
  cipherName: string,
  keyBytes: number,
  hashName: string,
): Pick<LuksLayout, 'slots' | 'otherSlots'> {
  const cipher = parseCipher(cipherName, keyBytes, 8)
  const hash = parseHash(hashName, 72)
  const found: LuksKeySlot[] = []
  for (let id = 0; id < slots; id += 1) {
    const at = 208 + id * 48
    if (head.u32be(at) !== activeSlot) continue
    if (isRefusal(cipher) || isRefusal(hash)) {
      return { slots: [], otherSlots: [isRefusal(hash) ? hash : (cipher as Refusal)] }
    }
    const salt = bytesOf(head, at + 8, 32)
    found.push({
      id,
      kdf: { type: 'pbkdf2', hash, iterations: head.u32be(at + 4), salt },
      cipher,
      cipherKeyBytes: keyBytes,
      areaOffset: head.u32be(at + 40) * 512,
      stripeHash: hash,
      digest: {
        type: 'pbkdf2',
        hash,
        iterations: head.u32be(164),
        salt: bytesOf(head, 132, 32),
        value: bytesOf(head, 112, 20),
      },
    })
  }
  return { slots: found, otherSlots: [] }
}

/** A copy in any case: `slice` of a Buffer is a view. */
function bytesOf(head: Fields, at: number, length: number): Uint8Array {
  return new Uint8Array(head.part(at, length).bytes)
}
