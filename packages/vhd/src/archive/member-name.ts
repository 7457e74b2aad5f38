import { printable, type Refusal } from '@disk-image/core'

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
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\0-\x1f\x7f\\]/.test(name)) return refuse('member-name', 'its name has characters that no file needs')
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name))
    return refuse('member-absolute', 'its name is absolute')
  if (name.split('/').includes('..')) return refuse('member-traversal', 'its name leads out of the folder')
  const match = memberPattern.exec(name.replace(/^\.\//, '').replace(/\/$/, ''))
  return match === null ? { action: 'skip' } : { action: 'take', index: Number(match[1]) }
}

const refusals: ReadonlyMap<string, readonly [rule: string, reason: string]> = new Map([
  ['Link', ['member-link', 'it is a hard link']],
  ['SymbolicLink', ['member-link', 'it is a symbolic link']],
  ['FIFO', ['member-device', 'it is a pipe']],
  ['CharacterDevice', ['member-device', 'it is a device']],
  ['BlockDevice', ['member-device', 'it is a device']],
  ['SparseFile', ['member-sparse', 'it is a sparse file, which can be any size']],
])

/** Judges what kind of file a member is: files, and folders that are not taken, are fine. */
export function judgeType(type: string, taken: boolean): Refusal | undefined {
  if (type === 'File' || type === 'OldFile') return undefined
  if (type === 'Directory') {
    return taken ? { rule: 'member-type', reason: 'it is a folder', accepted: 'a regular file' } : undefined
  }
  const [rule, reason] = refusals.get(type) ?? [
    'member-type',
    'it is of a kind that no archive of disks needs',
  ]
  return { rule, reason, found: type, accepted: 'a regular file' }
}
