import type { Refusal } from '@disk-image/core'

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
