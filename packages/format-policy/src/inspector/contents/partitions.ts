import type { Fields } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'

const entries = [446, 462, 478, 494]
const protective = 0xee

/** `GPT` behind its protective MBR, with sectors of 512 or 4096 bytes. */
export function holdsGpt(head: Fields): boolean {
  return head.has(512, 'EFI PART') || head.has(4096, 'EFI PART')
}

/** The mark of a boot sector. */
export function holdsBootMark(head: Fields): boolean {
  return head.has(510, [0x55, 0xaa])
}

/** A boot sector whose four boot flags are possible: what partition scanners take for a table. */
export function holdsPartitionTable(head: Fields): boolean {
  return holdsBootMark(head) && entries.every((at) => (head.u8(at) & 0x7f) === 0)
}

/** What is odd about a partition table. It is noted and never refused: a disk is the user's own. */
export function notePartitions(head: Fields, gpt: boolean, report: Report): void {
  const note = (reason: string, offset: number, found: string, accepted: string): void =>
    report.note('partitions', { reason, offset, found, accepted })
  const types = entries.map((at) => head.u8(at + 4))
  for (const at of entries) {
    const flag = head.u8(at)
    if ((flag & 0x7f) !== 0) note('A partition has an impossible boot flag', at, `${flag}`, '0 or 128')
  }
  if (types.every((type) => type === 0))
    note('The partition table is empty', 446, 'no partition', 'one at least')
  const first = types.indexOf(protective)
  if (first < 0) {
    if (gpt) note('The GPT has no protective partition', 446, 'none', 'type 0xee')
    return
  }
  const at = entries[first] ?? 446
  if (first !== 0) note('The protective partition is not the first', at, `${first + 1}`, '1')
  if (head.u32le(at + 8) !== 1)
    note('The protective partition starts elsewhere', at + 8, `${head.u32le(at + 8)}`, '1')
  if (!head.has(at + 1, [0, 2, 0]))
    note('The protective partition has an odd start', at + 1, 'another CHS', '0/0/2')
  if (types.some((type, index) => index !== first && type !== 0)) {
    note('The protective partition is not alone (a hybrid MBR)', 446, types.join(', '), 'one partition')
  }
}
