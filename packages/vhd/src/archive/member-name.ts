import { printable, type Refusal } from '@disk-image/core'
import type { TarEntry } from '@disk-image/disk'

/** What a member's name says is to be done with it. */
type NameVerdict =
  | { readonly action: 'take'; readonly index: number }
  | { readonly action: 'skip' }
  | { readonly action: 'refuse'; readonly refusal: Refusal }

const memberPattern = /^(0|[1-9]\d{0,3})\.vhd$/

/** A name as it may be printed, in quotes, never long. */
export function quoted(name: string): string {
  return printable(JSON.stringify(name), 120)
}

/**
 * Judges a member's name. Only `N.vhd`, with at most one `./` in front, is taken; other harmless names are
 * skipped; names that would leave the folder are refused, whatever they are for.
 */
export function judgeName(name: string): NameVerdict {
  const refuse = (rule: string, reason: string): NameVerdict => ({
    action: 'refuse',
    refusal: { rule, reason, found: quoted(name), accepted: '0.vhd, 1.vhd …' },
  })
  if (name === '') return refuse('tar-damaged', 'it has no name')
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\0-\x1f\x7f\\]/.test(name)) return refuse('member-name', 'its name has characters that no file needs')
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name))
    return refuse('member-absolute', 'its name is absolute')
  if (name.split('/').includes('..')) return refuse('member-traversal', 'its name leads out of the folder')
  const match = memberPattern.exec(name.replace(/^\.\//, '').replace(/\/$/, ''))
  return match === null ? { action: 'skip' } : { action: 'take', index: Number(match[1]) }
}

const refusals: Readonly<Record<string, readonly [rule: string, reason: string]>> = {
  1: ['member-link', 'it is a hard link'],
  2: ['member-link', 'it is a symbolic link'],
  3: ['member-device', 'it is a device'],
  4: ['member-device', 'it is a device'],
  6: ['member-device', 'it is a pipe'],
}

/** Judges what kind of file a member is: files, and folders that are not taken, are fine. */
export function judgeType(
  { type, linkName, isSparse }: Pick<TarEntry, 'type' | 'linkName' | 'isSparse'>,
  isTaken: boolean,
): Refusal | undefined {
  const accepted = 'a regular file'
  if (isSparse) {
    return { rule: 'member-sparse', reason: 'it is a sparse file, which can be any size', accepted }
  }
  if (type === '5') {
    return isTaken ? { rule: 'member-type', reason: 'it is a folder', accepted } : undefined
  }
  const isFile = type === '0' || type === '\0'
  if (isFile && linkName === '') return undefined
  if (isFile) return { rule: 'tar-damaged', reason: 'it is a file and leads to another one', accepted }
  const [rule, reason] = refusals[type] ?? ['member-type', 'it is of a kind that no archive of disks needs']
  return { rule, reason, found: `type ${JSON.stringify(type)}`, accepted }
}
