import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import type * as FileSystem from 'node:fs/promises'
import path from 'node:path'
import { MiB } from '@disk-image/core'
import { allocatePagePieces, writeSparsely } from '@disk-image/io'
import { createProcessRunner, openVolume } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { attachLoopDevice } from './loop-device.ts'

for (const tool of ['blkid', 'cryptsetup', 'losetup', 'mke2fs', 'mkfs.vfat']) requireTool(tool)

/** The disk takes so many changes, and none after that, as when the process is killed or the power goes. */
const power = vi.hoisted(() => ({ changes: Infinity, made: 0 }))

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof FileSystem>()
  const isOn = (): boolean => (power.made += 1) <= power.changes
  const unlessOff =
    <Args extends unknown[], Result>(
      act: (...args: Args) => Promise<Result>,
      otherwise: (...args: Args) => Result,
    ) =>
    async (...args: Args): Promise<Result> =>
      isOn() ? act(...args) : otherwise(...args)
  return {
    ...real,
    link: unlessOff(real.link, () => undefined),
    rename: unlessOff(real.rename, () => undefined),
    rm: unlessOff(real.rm, () => undefined),
    open: async (...args: Parameters<typeof real.open>) => {
      const handle = await real.open(...args)
      const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<{ bytesWritten: number }>
      const truncate = handle.truncate.bind(handle)
      return Object.assign(handle, {
        write: unlessOff(write, (_chunk, _from, length) => ({ bytesWritten: length as number })),
        truncate: unlessOff(truncate, () => undefined),
      })
    },
  }
})

const sizeBytes = 24 * MiB
let folder: string
const images = new Map<string, Buffer>()
let old: Buffer

beforeAll(async () => {
  folder = await mkdtemp('/var/tmp/cut-off-')
  const make = async (name: string, fill: (file: string) => Promise<unknown>): Promise<Buffer> => {
    const file = path.join(folder, name)
    await writeFile(file, '')
    await truncate(file, sizeBytes)
    await fill(file)
    return readFile(file)
  }
  // A boot record with one partition from the first MiB on.
  const table = async (file: string): Promise<void> => {
    const handle = await open(file, 'r+')
    await handle.write(Buffer.from('8000010083ffffff0008000000400000', 'hex'), 0, 16, 446)
    await handle.write(Buffer.from('55aa', 'hex'), 0, 2, 510)
    await handle.close()
  }
  images.set('a file system', await make('ext4', (file) => execa('mke2fs', ['-q', '-t', 'ext4', file])))
  images.set('a partition table', await make('table', table))
  const luks = [
    'luksFormat',
    '-q',
    '--type',
    'luks2',
    '--pbkdf',
    'pbkdf2',
    '--pbkdf-force-iterations',
    '1000',
  ]
  images.set(
    'an encrypted disk',
    await make('luks', (file) => execa('cryptsetup', [...luks, file], { input: 'key' })),
  )
  old = await make('old', async (file) => {
    await table(file)
    await execa('mkfs.vfat', ['--offset', '2048', file, '4096'])
  })
})
afterAll(() => rm(folder, { recursive: true }))

/** What readers take it for. */
async function whatIsFound(file: string): Promise<string[]> {
  const { stdout } = await execa('blkid', ['-p', file], { reject: false })
  return stdout === '' ? [] : [stdout]
}

async function write(file: string, image: Buffer, announced: number | undefined): Promise<void> {
  const real = createProcessRunner()
  const runner: typeof real = {
    run: async (command, options) =>
      (power.made += 1) <= power.changes
        ? real.run(command, options)
        : { stdout: '', stderr: '', durationMs: 0 },
  }
  await using volume = await openVolume(file, { sizeBytes: announced, runner })
  const [piece = new Uint8Array()] = allocatePagePieces(1, 4 * MiB)
  for (let offset = 0; offset < image.length; offset += piece.length) {
    piece.set(image.subarray(offset, offset + piece.length))
    await writeSparsely(volume, piece, offset)
  }
  await volume.commit(image.length)
}

test.each([
  ['a new file', 'new', sizeBytes],
  ['a file that was there', 'file', sizeBytes],
  ['a file that was there, with a disk of unknown size', 'file', undefined],
  ['a device', 'device', sizeBytes],
])(
  'whatever change is the last, %s has what it had, or nothing, or the whole',
  async (_, kind, announced) => {
    const place = await mkdtemp(path.join(folder, 'place-'))
    const file = path.join(place, 'volume')
    for (const [name, image] of images) {
      let isWhole = false
      for (let changes = 0; !isWhole; changes += 1) {
        power.changes = Infinity
        for (const left of await readdir(place)) await rm(path.join(place, left))
        if (kind !== 'new') await writeFile(file, old)
        {
          await using device = kind === 'device' ? await attachLoopDevice(file, sizeBytes) : undefined
          power.made = 0
          power.changes = changes
          await write(device?.path ?? file, image, announced)
          isWhole = power.made <= changes
          power.changes = Infinity
        }
        const isThere = kind !== 'new' || (await readdir(place)).includes('volume')
        const left = isThere ? await readFile(file) : undefined
        const isHadOrWhole = left === undefined || left.equals(image) || (kind !== 'new' && left.equals(old))
        expect(
          {
            found: isHadOrWhole ? [] : await whatIsFound(file),
            isWhole: !isWhole || left?.equals(image),
          },
          `${name} after ${changes} changes`,
        ).toEqual({ found: [], isWhole: true })
      }
    }
  },
  60_000,
)
