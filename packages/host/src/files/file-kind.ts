import type { Stats } from 'node:fs'

/** What a name leads to, in words that go behind "is". */
export function fileKind(found: Stats): string {
  if (found.isFile()) return 'a regular file'
  if (found.isBlockDevice()) return 'a block device'
  if (found.isDirectory()) return 'a folder'
  if (found.isFIFO()) return 'a pipe'
  if (found.isSocket()) return 'a socket'
  if (found.isSymbolicLink()) return 'a link'
  if (found.isCharacterDevice()) return 'a character device, such as a terminal'
  return 'something else'
}
