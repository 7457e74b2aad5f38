import { readFileSync } from 'node:fs'

/**
 * 64 random bits as 16 hexadecimal digits, from the kernel. `node:crypto` has them too, but takes 4 ms to load, and up
 * to 20 where something else keeps the processors busy.
 *
 * @see random(4), /proc/sys/kernel/random/uuid
 */
export function randomHex(): string {
  try {
    const digits = readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim().replaceAll('-', '')
    // Some in the middle tell the kind of UUID, and are always the same.
    if (/^[0-9a-f]{32}$/.test(digits)) return digits.slice(0, 8) + digits.slice(-8)
  } catch {
    // No /proc here.
  }
  return process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
}
