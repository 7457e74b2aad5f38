import type { Refusal } from '@disk-image/core'
import { printable } from '../layouts/printable.ts'
import type { LuksCipher, LuksHash } from './luks-layout.ts'

/** @throws nothing; @returns why it is not read here */
export function parseCipher(name: string, keyBytes: number, offset: number): LuksCipher | Refusal {
  const parts = /^aes-(?:(xts)-(plain|plain64)|(cbc)-(plain|plain64|essiv:sha256))$/.exec(name)
  const mode = (parts?.[1] ?? parts?.[3]) as LuksCipher['mode'] | undefined
  const vector = (parts?.[2] ?? parts?.[4]) as LuksCipher['vector'] | undefined
  if (mode === undefined || vector === undefined) {
    return notRead('The cipher is not read here', name, ciphers, offset)
  }
  const aesBytes = mode === 'xts' ? keyBytes / 2 : keyBytes
  if (aesBytes === 16 || aesBytes === 24 || aesBytes === 32) return { mode, vector }
  return {
    rule: 'luks-header',
    reason: 'The key has no length that its cipher takes',
    found: `${keyBytes} bytes`,
    offset,
    accepted: mode === 'xts' ? '32, 48 or 64 bytes' : '16, 24 or 32 bytes',
  }
}

const ciphers = 'aes with xts-plain64, xts-plain, cbc-essiv:sha256, cbc-plain64 or cbc-plain'
const hashes: readonly string[] = ['sha1', 'sha256', 'sha384', 'sha512']

export function parseHash(name: string, offset: number): LuksHash | Refusal {
  if (hashes.includes(name)) return name as LuksHash
  return notRead('The hash is not read here', name, hashes.join(', '), offset)
}

/** Something that is right and that others read. */
export function notRead(reason: string, found: string, accepted: string, offset: number): Refusal {
  return { rule: 'luks-unsupported', reason, found: printable(found), offset, accepted }
}

export function isRefusal(value: object | string): value is Refusal {
  return typeof value === 'object' && 'rule' in value
}
