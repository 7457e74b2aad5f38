import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'

const mostDescriptorBytes = 1024 ** 2 - 1
const createTypes: ReadonlySet<string> = new Set(['monolithicsparse', 'streamoptimized'])

/** What an embedded descriptor says. */
export interface VmdkDescriptor {
  readonly createType: 'monolithicSparse' | 'streamOptimized'
  /** Byte of the file behind the text, in whole sectors: no grain lies before. */
  readonly endOffset: number
}

/**
 * What the embedded descriptor says the image is. It ends at its first NUL. Names in it are never opened.
 *
 * @throws {DiskFormatError} for every other kind, a parent, or an extent that is another file
 */
export async function readVmdkDescriptor(
  file: ImageFile,
  offset: number,
  sectors: number,
): Promise<VmdkDescriptor> {
  if (offset !== 512 || sectors === 0) {
    refuse('vmdk-descriptor', 'the image has no descriptor in it: it is one of several parts of a disk', {
      found: `${sectors} sectors at byte ${offset}`,
      offset: 28,
      accepted: 'a descriptor in sector 1',
    })
  }
  const length = Math.min(sectors * 512, mostDescriptorBytes, file.sizeBytes - offset)
  const view = await file.read(offset, Math.max(0, length), 'the descriptor')
  const text = Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('latin1')
  const end = indexOrEnd(text, '\0')
  const lines = text
    .slice(0, end)
    .split('\n')
    .map((line) => line.trim())
  requireIdentities(lines, offset)
  requireNoParent(lines, offset)
  const extents = lines.filter((line) => /^(RW|RDONLY|NOACCESS)[ \t]/i.test(line))
  if (extents.length !== 1 || !/^(RW|RDONLY)[ \t]+\d+[ \t]+SPARSE([ \t]|$)/i.test(extents[0] ?? '')) {
    refuse('vmdk-extents', 'the disk is in other files than this one', {
      found: `${extents.length} extents: ${printable(extents[0] ?? '')}`,
      offset,
      accepted: 'one extent, SPARSE',
    })
  }
  const named = lines.filter((line) => /createtype/i.test(line))
  const type = /^createType[ \t]*=[ \t]*"([^"]*)"$/.exec(named[0] ?? '')?.[1]
  if (named.length !== 1 || type === undefined || !createTypes.has(type.toLowerCase())) {
    refuse('vmdk-create-type', 'this kind of VMDK is not read', {
      found: printable(named[0] ?? 'no createType'),
      offset,
      accepted: 'monolithicSparse or streamOptimized',
    })
  }
  return {
    createType: type.toLowerCase() === 'streamoptimized' ? 'streamOptimized' : 'monolithicSparse',
    endOffset: offset + Math.ceil(end / 512) * 512,
  }
}

/** Readers look for these texts anywhere, and give up without them. */
function requireIdentities(lines: readonly string[], offset: number): void {
  const own = lines.find((line) => line.includes('CID='))
  if (lines.some((line) => line.includes('parentCID=')) && /^.*?CID=[0-9a-f]/i.test(own ?? '')) return
  refuse('vmdk-descriptor', 'the descriptor lacks the identity of its content or of its parent', {
    found: printable(own ?? 'no CID'),
    offset,
    accepted: 'CID and parentCID, in hexadecimal digits',
  })
}

function requireNoParent(lines: readonly string[], offset: number): void {
  const parent = lines.find(
    (line) => /parentFileNameHint/i.test(line) || (/^parentCID/i.test(line) && !/=\s*f{8}$/i.test(line)),
  )
  if (parent === undefined) return
  refuse('vmdk-parent', 'the image is a delta, whose parent holds a part of the disk', {
    found: printable(parent),
    offset,
    accepted: 'an image without a parent',
  })
}

function indexOrEnd(text: string, part: string): number {
  const index = text.indexOf(part)
  return index < 0 ? text.length : index
}

function printable(text: string): string {
  return text.slice(0, 80).replaceAll(/[^\x20-\x7e]/g, '?')
}
