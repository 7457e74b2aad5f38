import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { buildVmwareStream, descriptor } from '../../unit/formats/build-vmdk.ts'
import type { EncodeDiskOptions } from '@disk-image/disk'
import { encodeFile } from '../encode/encoded.ts'
import { createFolder, makeDisk, readInto, tool } from './tools.ts'

const python = '/usr/bin/python3'
const program = `
import pyvmdk, sys
handle = pyvmdk.handle()
handle.open(sys.argv[1])
handle.open_extent_data_files()
with open(sys.argv[2], 'wb') as target:
    target.write(handle.read_buffer_at_offset(handle.get_media_size(), 0))
`

const vhdProgram = `
import pyvhdi, sys
handle = pyvhdi.file()
handle.open(sys.argv[1])
with open(sys.argv[2], 'wb') as target:
    target.write(handle.read_buffer_at_offset(handle.get_media_size(), 0))
`

beforeAll(async () => {
  if (!existsSync(python)) throw new Error('python3 is not installed')
  const found = promisify(execFile)(python, ['-c', 'import pyvmdk'])
  await expect(found, 'apt-get install -y python3-libvmdk').resolves.toBeDefined()
  const other = promisify(execFile)(python, ['-c', 'import pyvhdi'])
  await expect(other, 'apt-get install -y python3-libvhdi').resolves.toBeDefined()
})

/** Reads an image with libvmdk, which opens its extents by their names. */
async function readWithLibvmdk(image: string, target: string): Promise<void> {
  await promisify(execFile)(python, ['-c', program, image, target])
}

const grain = (factor: number): Uint8Array =>
  Uint8Array.from({ length: 65_536 }, (_, at) => (at * factor) >> 3)
const stream = buildVmwareStream(
  [
    [600, grain(9)],
    [0, grain(1)],
    [5, grain(3)],
    [3, grain(7)],
  ],
  {
    capacity: 128_000,
    grain: 128,
    tableEntries: 512,
    descriptor: descriptor('streamOptimized', '', 'RW 128000 SPARSE "disk.vmdk"'),
  },
)

test.each(['monolithicSparse', 'streamOptimized', 'with a footer', 'ours'])(
  'libvmdk reads the same of a VMDK: %s',
  async (kind) => {
    await using folder = await createFolder()
    const [raw, image] = [folder.file('raw'), folder.file('disk.vmdk')]
    if (kind === 'with a footer') await writeFile(image, stream)
    else if (kind === 'ours') {
      const parts = await makeDisk(new Random(7), raw, 70 * 1024 ** 2 + 512)
      await encodeFile(raw, parts, { format: 'vmdk' }, { streamed: image })
    } else {
      await makeDisk(new Random(kind.length), raw, 20 * 1024 ** 2)
      await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o', `subformat=${kind}`, raw, image)
    }
    await readInto('vmdk', image, folder.file('ours'))
    await readWithLibvmdk(image, folder.file('theirs'))
    await tool('cmp', folder.file('ours'), folder.file('theirs'))
  },
)

test.each<EncodeDiskOptions>([
  { format: 'vpc' },
  { format: 'vpc', vpc: { style: 'windows' } },
  { format: 'vpc', subformat: 'fixed' },
  { format: 'vhdx', vhdx: { blockBytes: 1024 ** 2 } },
  { format: 'vhdx', vhdx: { logicalSectorBytes: 4096 } },
  { format: 'vhdx', subformat: 'fixed' },
])('libvhdi reads what we write: %j', async (options) => {
  await using folder = await createFolder()
  const [raw, image, theirs] = [folder.file('raw'), folder.file('image'), folder.file('theirs')]
  const parts = await makeDisk(new Random(9), raw, 33 * 1024 ** 2 + 4096)
  await encodeFile(raw, parts, options, { streamed: image })
  await promisify(execFile)(python, ['-c', vhdProgram, image, theirs])
  await tool('cmp', raw, theirs)
})
