import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Random } from '../../random.ts'
import { makeDisk, tool } from '../formats/tools.ts'
import type { Sample, Scratch } from './sample.ts'

/** How an image may be wrapped. */
export type Wrapping = 'raw' | 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'tar' | 'ova'

/** A disk as it is, compressed, in an archive, or both. */
export async function generateWrapped(wrapping: Wrapping, random: Random, scratch: Scratch): Promise<Sample> {
  const folder = scratch.file('members')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder)
  const disk = `${folder}/disk.raw`
  await makeDisk(random, disk, 512 * (1 + random.below(random.pick([10, 3000]))))
  if (wrapping === 'ova') return sampleOf('ova', await makeOva(random, folder))
  const isArchive = wrapping === 'tar' || (wrapping !== 'raw' && random.chance(0.2))
  if (!isArchive) return sampleOf(wrapping, await compress(wrapping, random, disk))
  const isInside = random.chance(0.3)
  if (isInside) await writeFile(disk, await compress('gzip', random, disk))
  const how = random.pick([
    ['--format=v7'],
    ['--format=ustar'],
    ['--format=gnu'],
    ['--format=pax'],
    ['--format=oldgnu', '-S'],
    ['--format=pax', '-S'],
  ])
  const archive = scratch.file('archive.tar')
  await tool(
    'tar',
    '-C',
    folder,
    '--mtime=@0',
    ...how,
    '-cf',
    archive,
    random.pick(['disk.raw', './disk.raw', '.']),
  )
  const what = `tar ${how.join(' ')}`
  return sampleOf(
    what,
    wrapping === 'tar' ? await readFile(archive) : await compress(wrapping, random, archive),
  )
}

function sampleOf(what: string, bytes: Buffer): Sample {
  return { what, files: new Map([['image', bytes]]) }
}

async function compress(wrapping: Wrapping, random: Random, file: string): Promise<Buffer> {
  const bytes = await readFile(file)
  const middle = random.below(bytes.length)
  const parts = random.chance(0.3) ? [bytes.subarray(0, middle), bytes.subarray(middle)] : [bytes]
  switch (wrapping) {
    case 'gzip':
      return Buffer.concat([...parts.map((part) => gzipSync(part)), Buffer.alloc(random.pick([0, 0, 512]))])
    case 'zstd':
      return Buffer.concat(parts.map((part) => zstdCompressSync(part)))
    case 'xz':
    case 'bzip2':
      await tool(wrapping, '-k', '-f', random.pick(['-1', '-6']), file)
      return readFile(`${file}.${wrapping === 'xz' ? 'xz' : 'bz2'}`)
    case 'raw':
    default:
      return bytes
  }
}

async function makeOva(random: Random, folder: string): Promise<Buffer> {
  const names = random.chance(0.7) ? ['a.vmdk'] : ['a.vmdk', 'b.vmdk']
  for (const name of names) {
    const options = ['-O', 'vmdk', '-o', 'subformat=streamOptimized']
    await tool('qemu-img', 'convert', '-f', 'raw', ...options, `${folder}/disk.raw`, `${folder}/${name}`)
  }
  const files = names.map((name, index) => `<File ovf:id="f${index}" ovf:href="${name}"/>`).join('\n')
  const disks = names.map(
    (_, index) => `<Disk ovf:diskId="d${index}" ovf:fileRef="f${index}" ovf:capacity="1"/>`,
  )
  const ovf = `<?xml version="1.0"?>\n<Envelope xmlns="urn:e" xmlns:ovf="urn:o"><References>${files}</References><DiskSection>${disks.join('\n')}</DiskSection><VirtualSystem ovf:id="box"><Name>box</Name></VirtualSystem></Envelope>\n`
  await writeFile(`${folder}/m.ovf`, ovf)
  const algorithm = random.pick(['sha1', 'sha256', 'sha512'])
  const lines: string[] = []
  for (const name of ['m.ovf', ...names]) {
    const hex = createHash(algorithm)
      .update(await readFile(`${folder}/${name}`))
      .digest('hex')
    lines.push(`${algorithm.toUpperCase()}(${name})= ${hex}\n`)
  }
  await writeFile(`${folder}/m.mf`, lines.join(''))
  const order = random.pick([
    ['m.ovf', 'm.mf', ...names],
    ['m.ovf', ...names, 'm.mf'],
    ['m.ovf', ...names],
  ])
  await tool(
    'tar',
    '-C',
    folder,
    random.pick(['--format=ustar', '--format=gnu']),
    '--mtime=@0',
    '-cf',
    `${folder}/m.ova`,
    ...order,
  )
  return readFile(`${folder}/m.ova`)
}
