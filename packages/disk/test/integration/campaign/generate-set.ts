import { readFile, writeFile } from 'node:fs/promises'
import type { Random } from '../../random.ts'
import { descriptor } from '../../unit/formats/build-vmdk.ts'
import { makeDisk, tool } from '../formats/tools.ts'
import type { Sample, Scratch } from './sample.ts'

/** A VMDK in several files, with parts that are smaller than VMware's. */
export async function generateSet(random: Random, scratch: Scratch): Promise<Sample> {
  const kind = random.pick(['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse'])
  const sectors = 1 + random.below(random.pick([100, 6000]))
  await makeDisk(random, scratch.file('raw'), sectors * 512)
  const raw = await readFile(scratch.file('raw'))
  const count = kind === 'monolithicFlat' ? 1 : 1 + random.below(Math.min(4, sectors))
  const ends = [sectors, ...Array.from({ length: count - 1 }, () => 1 + random.below(sectors))]
  const [lines, parts] = [[] as string[], new Map<string, Buffer>()]
  let start = 0
  for (const any of new Set(ends.toSorted((one, other) => one - other))) {
    // Only the last grain of a disk may be a part of one.
    const end = kind.endsWith('Flat') || any === sectors ? any : Math.ceil(any / 128) * 128
    if (end > sectors || end <= start) continue
    const slice = raw.subarray(start * 512, end * 512)
    const name = `disk-${kind.endsWith('Flat') ? 'f' : 's'}00${parts.size + 1}.vmdk`
    if (kind.endsWith('Flat')) {
      // Extents may follow each other in one file.
      const [last, before] = [...parts].at(-1) ?? []
      const shared = before !== undefined && last !== undefined && random.chance(0.3)
      lines.push(`RW ${end - start} FLAT "${shared ? last : name}" ${shared ? before.length / 512 : 0}`)
      parts.set(shared ? last : name, shared ? Buffer.concat([before, slice]) : Buffer.from(slice))
    } else {
      lines.push(`RW ${end - start} SPARSE "${name}"`)
      parts.set(name, await sparseExtent(slice, scratch))
    }
    start = end
  }
  const text = descriptor(kind, lines.slice(1).join('\n'), lines[0])
  return {
    what: `${kind} of ${lines.length}${parts.size < lines.length ? ', after each other' : ''}`,
    files: new Map([['disk.vmdk', Buffer.from(text)], ...parts]),
  }
}

async function sparseExtent(slice: Buffer, scratch: Scratch): Promise<Buffer> {
  await writeFile(scratch.file('slice'), slice)
  const options = ['-O', 'vmdk', '-o', 'subformat=twoGbMaxExtentSparse']
  await tool('qemu-img', 'convert', '-f', 'raw', ...options, scratch.file('slice'), scratch.file('part.vmdk'))
  return readFile(scratch.file('part-s001.vmdk'))
}
