import { readFileSync } from 'node:fs'
import path from 'node:path'
import { run } from '../support.ts'

/** What an image of the corpus is, as reviewed. */
export interface Expected {
  readonly format: string
  readonly safe: boolean
  readonly virtualSizeBytes?: number
  readonly contentName?: string
  /** The checks that fail. */
  readonly failed?: readonly string[]
}

/** What others say about it: a format, or `refused`. Absent where no comparison is made. */
export interface Peers {
  readonly cinder?: string
  readonly oslo?: string
  readonly qemu: string
  readonly qemuSize?: number
}

const load = (name: string): unknown =>
  JSON.parse(readFileSync(path.join(import.meta.dirname, 'vectors', name), 'utf8'))

export const expected = load('expected.json') as Readonly<Record<string, Expected>>
export const peers = load('peers.json') as Readonly<Record<string, Peers>>
export const ids: readonly string[] = Object.keys(expected)

/** Builds the corpus into a directory, about 190 MB of sparse files in 10 seconds. */
export async function buildCorpus(directory: string): Promise<(id: string) => string> {
  const script = path.join(import.meta.dirname, 'make_corpus.py')
  const only = path.join(import.meta.dirname, 'vectors', 'ids.json')
  // The recipes need Debian's Python and its qemu-img, wherever others are installed.
  await run('/usr/bin/python3', [script, directory, '--only', only])
  return (id) => path.join(directory, id, 'disk.img')
}

/** Where ours accepts what a peer refuses, and why that is right. */
export const rightlyAccepted: Readonly<Record<string, string>> = {
  'fat16-media-f0': 'a floppy-like FAT is no partition table',
  'fat16-one-fat': 'a FAT file system with one table is no partition table',
  'gpt-bad-start-chs': 'odd partition tables are noted, not refused: the disk is its owner’s',
  'mbr-bad-boot-flag': 'odd partition tables are noted, not refused: the disk is its owner’s',
  'mbr-no-partitions': 'an empty partition table is noted, not refused',
  'qcow2-extended-l2': 'extended L2 entries are a known feature',
  'qcow2-v2-ext-at-72': 'version 2 has no feature bits: an extension stands there',
  'raw-text-600-then-binary': 'text in a raw image is no descriptor',
  'raw-text-then-utf8': 'text in a raw image is no descriptor',
  'vmdk-desc-nul-then-binary': 'a descriptor ends at its first NUL',
  'vmdk-extent-tab': 'a tab is a blank to every reader',
  'vmdk-desc-utf8': 'a comment in another encoding names no file',
  'vmdk-desc-size-beyond-eof': 'a descriptor ends at its first NUL, within the file',
  'vmdk-desc-size-huge': 'a descriptor ends at its first NUL, and the size is bounded',
}
