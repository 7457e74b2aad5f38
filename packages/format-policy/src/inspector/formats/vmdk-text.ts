import {
  descriptorLines,
  type Fields,
  longestDescriptor,
  oneVmdkFile,
  parseVmdkDescriptor,
  Problems,
} from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { describe } from './vmdk.ts'

const title = '# disk descriptorfile'

/**
 * Whether bytes are a VMDK descriptor for some reader: those that look for its title, and those that skip
 * comments and blank lines and look for `version=`.
 */
export function startsAsDescriptor(head: Fields): boolean {
  for (const { text, offset } of descriptorLines(head, 0, 65536)) {
    if (offset < 4096 && text.toLowerCase().startsWith(title)) return true
    if (text === '' || text.startsWith('#')) continue
    return /^version[ \t]*=[ \t]*[1-9]/i.test(text)
  }
  return false
}

/**
 * A VMDK descriptor as a file of its own: its disk is in other files by nature, so it is never safe.
 */
export function examineDescriptor(head: Fields, report: Report): void {
  report.expect('descriptor', 'create-type', 'extents', 'backing-file')
  const problems = new Problems('vmdk')
  const descriptor = parseVmdkDescriptor(head, 0, longestDescriptor, problems)
  const { extents, extentCount, sectors } = descriptor
  report.failAll(problems.list)
  describe(descriptor, report)
  const names = extents.flatMap((extent) => (extent.name === undefined ? [] : [extent.name]))
  report.details.extents = names
  report.virtualSize = sectors * 512n
  const [only] = extentCount === 1 ? extents : []
  report.fail('extents', {
    reason: 'The image is a description only: its data is in other files, which can be any of the host',
    offset: extents[0]?.offset ?? 0,
    found: names.slice(0, 3).join(', ') || 'a descriptor',
    accepted:
      only?.type === 'FLAT' || only?.type === 'VMFS'
        ? `its one extent, ${only.name ?? 'the file that it names'}, which is the disk (format raw)`
        : `one file: ${oneVmdkFile} makes one of it and its extents`,
    reference: 'CVE-2022-47951',
  })
}
