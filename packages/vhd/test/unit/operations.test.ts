import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import {
  checkVhd,
  coalesceChain,
  coalesceVhd,
  createSnapshot,
  createVhd,
  discoverVhdChain,
  examineVhd,
  findVhdChain,
  fixVhdChain,
  flattenChain,
  geometryOf,
  getVhdInfo,
  getVhdSize,
  openVhdChain,
  repairVhd,
  resizeVhd,
  setVhdParent,
  streamFixedVhd,
  VhdError,
  writeDynamicVhd,
} from '@disk-image/vhd'
import { describe, expect, test } from 'vitest'
import { buildDisk, diskBytes, pattern, writeDisk, type DiskPlan } from '../helpers/build-vhd.ts'
import { chainHash } from '../helpers/golden.ts'
import { chainView, writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const MiB = 2 ** 20

const plan = (type: DiskPlan['type'], more: Partial<DiskPlan> = {}): DiskPlan => ({
  type,
  sizeBytes: 4 * MiB,
  writes: [{ sector: 5, data: pattern(type, 20) }],
  ...more,
})

async function show(...files: string[]): Promise<Buffer> {
  await using chain = await openVhdChain(files)
  return Buffer.from(await chain.read(0, chain.size))
}

describe('sizes', () => {
  test.each([
    [0, 0, [0, 4, 17], 3584],
    [1, 2, [60, 4, 17], 3584],
    [10, 10, [301, 4, 17], 3584],
    [127, 128, [963, 16, 17], 3584],
    [129, 130, [978, 16, 17], 3584],
    [1024, 1024, [2080, 16, 63], 5120],
    [4097, 4098, [8326, 16, 63], 11_776],
    [32_256, 32_256, [16_191, 16, 255], 69_120],
    [102_400, 102_400, [51_400, 16, 255], 214_016],
    [131_072, 131_072, [65_535, 16, 255], 272_896],
    [2_088_960, 2_088_960, [65_535, 16, 255], 4_311_040],
  ])('%i MiB become %i', async (asked, size, geometry, fileBytes) => {
    const file = path.join(temporaryDirectory(), 'new.vhd')
    await createVhd(file, { sizeBytes: asked * MiB })
    const { currentSizeBytes, geometry: found, blocks, fileSizeBytes } = await getVhdInfo(file)
    expect(await getVhdSize(file)).toBe(size)
    expect(currentSizeBytes).toBe(size * MiB)
    expect(Object.values(found)).toEqual(geometry)
    expect(blocks).toMatchObject({ total: size / 2, allocated: 0 })
    expect(fileSizeBytes).toBe(fileBytes)
    expect((await examineVhd(file)).issues).toEqual([])
    expect(statSync(file).mode & 0o7777).toBe(0o600)
  })

  test('geometry is that of the specification up to the largest disk', () => {
    expect(geometryOf(2040 * 2 ** 30)).toEqual({ cylinders: 65_535, heads: 16, sectorsPerTrack: 255 })
    expect(geometryOf(3000 * MiB)).toEqual({ cylinders: 6095, heads: 16, sectorsPerTrack: 63 })
  })

  test.each([[-1], [Number.NaN], [1.5], [2041 * 2 ** 30]])('no disk of %s bytes', async (sizeBytes) => {
    const file = path.join(temporaryDirectory(), 'new.vhd')
    await expect(createVhd(file, { sizeBytes })).rejects.toBeInstanceOf(InvalidError)
    expect(() => statSync(file)).toThrow('ENOENT')
  })
})

describe('resize', () => {
  test('its own size again changes nothing', async () => {
    const { paths } = writeChain(temporaryDirectory(), [plan('dynamic', { sizeBytes: 4 * MiB + 512 })])
    const before = readFileSync(paths[0] as string)
    await resizeVhd(paths[0] as string, 4)
    expect(readFileSync(paths[0] as string).equals(before)).toBe(true)
  })

  test('smaller is refused', async () => {
    const { paths } = writeChain(temporaryDirectory(), [plan('dynamic')])
    await expect(resizeVhd(paths[0] as string, 2)).rejects.toMatchObject({ rule: 'shrink' })
  })

  test.each([[-1], [1.5], [3_000_000], [Number.NaN]])('to %s MiB is no size', async (sizeMiB) => {
    const { paths } = writeChain(temporaryDirectory(), [plan('dynamic')])
    await expect(resizeVhd(paths[0] as string, sizeMiB)).rejects.toBeInstanceOf(InvalidError)
  })

  test.each(['fixed', 'dynamic', 'differencing'] as const)(
    'a %s disk grows exactly as asked',
    async (type) => {
      const { paths } = writeChain(temporaryDirectory(), [
        plan(type, { spareEntries: type === 'dynamic' ? 50 : 0 }),
      ])
      const file = paths[0] as string
      await resizeVhd(file, 7, { exact: true })
      expect(await getVhdSize(file)).toBe(7)
      await resizeVhd(file, 3001)
      expect(await getVhdSize(file)).toBe(3002)
      expect((await examineVhd(file, { parents: false })).ok).toBe(true)
    },
  )
})

describe('parents', () => {
  test('uuid, name, time and relative path are written, and found again', async () => {
    const directory = temporaryDirectory()
    mkdirSync(path.join(directory, 'sub dir'))
    const child = path.join(directory, 'child.vhd')
    const parent = path.join(directory, 'sub dir', 'pa%rent.vhd')
    writeDisk(
      child,
      buildDisk(plan('differencing', { parentUniqueId: '11111111-2222-4333-8444-555555555555' })),
    )
    const built = buildDisk(plan('dynamic'))
    writeDisk(parent, built)
    utimesSync(parent, 1_000_000_000, 1_000_000_000)
    const size = statSync(child).size
    await setVhdParent(child, parent)
    expect(statSync(child).size).toBe(size)
    const info = await getVhdInfo(child)
    expect(info.parent).toMatchObject({
      uniqueId: built.uniqueId,
      name: 'pa%rent.vhd',
      modifiedAt: new Date(1e12),
    })
    expect(info.parent?.locators.map(({ platform, path: name }) => [platform, name])).toEqual([
      ['MacX', './sub dir/pa%rent.vhd'],
      ['W2ku', './sub dir/pa%rent.vhd'],
      ['W2ru', './sub dir/pa%rent.vhd'],
    ])
    expect(await findVhdChain(child)).toEqual([child, parent])
    expect((await examineVhd(child)).issues).toEqual([])
  })

  test('a folder above, a name beyond ASCII, and a name that is longer than its place', async () => {
    const directory = temporaryDirectory()
    mkdirSync(path.join(directory, 'a'))
    const child = path.join(directory, 'a', 'child.vhd')
    const parent = path.join(directory, `p\u00e9\u{1f4be}${'x'.repeat(200)}.vhd`)
    writeDisk(child, buildDisk(plan('differencing')))
    writeDisk(parent, buildDisk(plan('dynamic')))
    await setVhdParent(child, parent)
    expect(await findVhdChain(child)).toEqual([child, parent])
    expect((await examineVhd(child)).ok).toBe(true)
    const once = readFileSync(child)
    await setVhdParent(child, parent)
    expect(readFileSync(child).equals(once)).toBe(true)
  })

  test('locators are added where there are none', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('differencing', { locators: false }), plan('dynamic')])
    await expect(findVhdChain(paths[0] as string)).rejects.toMatchObject({ rule: 'parent-missing' })
    await fixVhdChain(paths)
    expect(await findVhdChain(paths[0] as string)).toEqual(paths)
    const view = chainView([plan('differencing'), plan('dynamic')])
    expect(Buffer.compare(await show(...paths), view)).toBe(0)
    expect((await examineVhd(paths[0] as string)).ok).toBe(true)
  })

  test.each<[string, (directory: string, paths: string[]) => [string, string]]>([
    ['not-differencing', (_directory, paths) => [paths[1] as string, paths[0] as string]],
    ['chain-loop', (_directory, paths) => [paths[0] as string, paths[0] as string]],
    ['not-a-file', (directory, paths) => [paths[0] as string, directory]],
    ['not-a-file', (_directory, paths) => [paths[0] as string, '/dev/null']],
    [
      'footer-missing',
      (directory, paths) => {
        const raw = path.join(directory, 'raw')
        writeFileSync(raw, pattern('raw', 100))
        return [paths[0] as string, raw]
      },
    ],
    [
      'zero-uuid',
      (directory, paths) => {
        const file = path.join(directory, 'zero.vhd')
        writeDisk(file, buildDisk(plan('dynamic', { uniqueId: '00000000-0000-0000-0000-000000000000' })))
        return [paths[0] as string, file]
      },
    ],
  ])('%s', async (rule, choose) => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('differencing'), plan('dynamic')])
    const before = readFileSync(paths[0] as string)
    const error: unknown = await setVhdParent(...choose(directory, paths)).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(VhdError)
    expect(error).toMatchObject({ rule })
    expect(readFileSync(paths[0] as string).equals(before)).toBe(true)
  })

  test('a raw parent is one only when it is said so', async () => {
    const directory = temporaryDirectory()
    const raw = path.join(directory, 'base.raw')
    writeFileSync(raw, pattern('raw', 8192))
    const child = path.join(directory, 'child.vhd')
    await expect(createSnapshot(child, raw)).rejects.toMatchObject({ rule: 'footer-missing' })
    await createSnapshot(child, raw, { parentFormat: 'raw' })
    await using chain = await openVhdChain([child, { source: raw, format: 'raw' }])
    expect(Buffer.compare(await chain.read(0, chain.size), pattern('raw', 8192))).toBe(0)
    await expect(coalesceVhd(child)).rejects.toMatchObject({ rule: 'footer-missing' })
    expect(readFileSync(raw)).toHaveLength(8192 * 512)
  })

  test('a pipe keeps nobody waiting', async () => {
    const pipe = path.join(temporaryDirectory(), '0.vhd')
    execFileSync('mkfifo', [pipe])
    await expect(getVhdSize(pipe)).rejects.toMatchObject({ rule: 'not-a-file' })
    await expect(coalesceChain([pipe, pipe])).rejects.toMatchObject({ rule: 'not-a-file' })
    await expect(discoverVhdChain(path.dirname(pipe))).rejects.toMatchObject({ rule: 'not-a-file' })
  })

  test('a socket, which nobody can open, and a folder to be written are no files either', async () => {
    const directory = temporaryDirectory()
    const socket = path.join(directory, '0.vhd')
    const server = createServer().listen(socket)
    await once(server, 'listening')
    for (const name of [socket, directory]) {
      await expect(getVhdInfo(name)).rejects.toMatchObject({ rule: 'not-a-file' })
      await expect(resizeVhd(name, 1024 * 1024)).rejects.toMatchObject({ rule: 'not-a-file' })
    }
    server.close()
  })
})

describe('discovery', () => {
  test('stops at the first gap', async () => {
    const directory = temporaryDirectory()
    expect(await discoverVhdChain(directory)).toEqual([])
    expect(await discoverVhdChain(path.join(directory, 'missing'))).toEqual([])
    for (const name of ['0.vhd', '1.vhd', '3.vhd']) writeFileSync(path.join(directory, name), '')
    expect(await discoverVhdChain(directory)).toEqual([
      path.join(directory, '0.vhd'),
      path.join(directory, '1.vhd'),
    ])
  })

  test('goes beyond nine', async () => {
    const directory = temporaryDirectory()
    const names = Array.from({ length: 12 }, (_, index) => path.join(directory, `${index}.vhd`))
    for (const name of names) writeFileSync(name, '')
    expect(await discoverVhdChain(directory)).toEqual(names)
  })

  test('follows no link', async () => {
    const directory = temporaryDirectory()
    symlinkSync('/etc/passwd', path.join(directory, '0.vhd'))
    await expect(discoverVhdChain(directory)).rejects.toMatchObject({ rule: 'not-a-file' })
  })
})

describe('chains that are refused', () => {
  test('nothing, and one disk', async () => {
    await expect(coalesceChain([])).rejects.toBeInstanceOf(InvalidError)
    expect(await coalesceChain(['/nowhere/0.vhd'])).toBe('/nowhere/0.vhd')
    await fixVhdChain([])
    await fixVhdChain(['/nowhere/0.vhd'])
  })

  test.each<[string, (paths: string[], directory: string) => string[]]>([
    ['chain-loop', (paths) => [paths[0] as string, paths[1] as string, paths[1] as string]],
    ['chain-incomplete', (paths) => paths.slice(0, 2)],
    ['not-differencing', (paths) => paths.toReversed()],
    ['parent-uuid', (paths) => [paths[0] as string, paths[2] as string]],
    [
      'chain-loop',
      (paths, directory) => {
        symlinkSync(paths[1] as string, path.join(directory, 'link'))
        return [paths[0] as string, paths[1] as string, path.join(directory, 'link')]
      },
    ],
  ])('%s', async (rule, choose) => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('differencing'), plan('differencing'), plan('dynamic')])
    const before = paths.map((file) => readFileSync(file))
    await expect(coalesceChain(choose(paths, directory))).rejects.toMatchObject({ rule })
    expect(paths.every((file, at) => readFileSync(file).equals(before[at] as Buffer))).toBe(true)
  })

  test('the order alone may say who belongs to whom, when it is told to', async () => {
    const plans = [
      plan('differencing', { parentUniqueId: '11111111-2222-4333-8444-555555555555' }),
      plan('dynamic'),
    ]
    const { paths } = writeChain(temporaryDirectory(), plans)
    await expect(coalesceChain(paths)).rejects.toMatchObject({ rule: 'parent-uuid' })
    await coalesceChain(paths, { checkParentIds: false })
    expect(Buffer.compare(await show(paths[1] as string), chainView(plans))).toBe(0)
  })
})

describe('repair', () => {
  const cases: readonly (readonly [string, string, (bytes: Buffer) => Buffer])[] = [
    ['a footer that is lost at the end', 'footer-end', (bytes) => bytes.fill(0, bytes.length - 512)],
    ['a file cut in its footer', 'footer-end', (bytes) => bytes.subarray(0, bytes.length - 100)],
    [
      'a torn tail of other bytes',
      'footer-end',
      (bytes) => Buffer.concat([bytes.subarray(0, -512), pattern('torn', 3), Buffer.from('x')]),
    ],
    ['a copy that is lost at the start', 'footer-copy', (bytes) => bytes.fill(0, 0, 512)],
    ['a footer of 511 bytes', 'footer-511', (bytes) => bytes.subarray(0, -1)],
    ['a damaged batmap', 'batmap', (bytes) => bytes.fill(0x12, 2048 + 24, 2048 + 28)],
  ]
  test.each(cases)('%s', async (_name, rule, damage) => {
    const file = path.join(temporaryDirectory(), 'disk.vhd')
    const whole = diskBytes(buildDisk(plan('dynamic')))
    writeFileSync(file, damage(Buffer.from(whole)))
    const view = chainView([plan('dynamic')])
    // Which footer is right is for a person to say, where other readers might see another disk.
    const shown = await show(file).catch((error: unknown) => (error as { readonly rule: string }).rule)
    const same = typeof shown === 'string' ? shown : Buffer.compare(shown, view) === 0
    expect(same).toBe(rule === 'footer-copy' ? rule : true)
    const before = await examineVhd(file)
    expect(before.issues.map((issue) => issue.rule)).toContain(rule)
    const damaged = readFileSync(file)
    expect((await repairVhd(file, { dryRun: true })).repairs.map((repair) => repair.rule)).toEqual([rule])
    expect(readFileSync(file).equals(damaged)).toBe(true)
    const { repairs, remaining } = await repairVhd(file)
    expect(repairs.map((repair) => repair.rule)).toEqual([rule])
    expect(remaining).toEqual([])
    await checkVhd(file)
    expect(Buffer.compare(await show(file), view)).toBe(0)
    expect(rule === 'batmap' || readFileSync(file).equals(whole)).toBe(true)
    expect(await repairVhd(file)).toEqual({ repairs: [], remaining: [] })
  })

  test('a disk without uuid gets one when it is told to', async () => {
    const file = path.join(temporaryDirectory(), 'disk.vhd')
    writeDisk(file, buildDisk(plan('dynamic', { uniqueId: '00000000-0000-0000-0000-000000000000' })))
    expect((await repairVhd(file)).repairs).toEqual([])
    expect((await repairVhd(file, { assignUuid: true })).repairs).toMatchObject([{ rule: 'zero-uuid' }])
    expect((await getVhdInfo(file)).uniqueId).not.toMatch(/^0{8}/)
    await checkVhd(file)
  })

  test('lost data is never repaired', async () => {
    const file = path.join(temporaryDirectory(), 'disk.vhd')
    writeDisk(file, buildDisk(plan('dynamic')))
    truncateSync(file, statSync(file).size - MiB)
    const before = readFileSync(file)
    await expect(repairVhd(file)).rejects.toMatchObject({ rule: 'block-past-end' })
    expect(readFileSync(file).equals(before)).toBe(true)
  })
})

describe('sources and streams', () => {
  test('a path, an open file and any reader are the same', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('differencing'), plan('dynamic')])
    const hash = await chainHash(paths)
    await using leaf = await open(paths[0] as string)
    const bytes = readFileSync(paths[1] as string)
    let reads = 0
    const reader = {
      size: bytes.length,
      // At most 1000 bytes a time, as a server may do.
      read: (offset: number, length: number) => {
        reads += 1
        return Promise.resolve(bytes.subarray(offset, offset + Math.min(length, 1000)))
      },
    }
    expect(await chainHash([leaf, reader])).toBe(hash)
    expect(reads).toBeGreaterThan(1)
    expect((await leaf.stat()).size).toBeGreaterThan(0)
  })

  test('extents are in order, without gaps, and add up', async () => {
    const { paths } = writeChain(temporaryDirectory(), [
      plan('differencing', {
        writes: [
          { sector: 4096, data: Buffer.alloc(512 * 512) },
          { sector: 8000, data: pattern('x', 3) },
        ],
      }),
      plan('dynamic'),
    ])
    let at = 0
    const kinds: string[] = []
    await using chain = await openVhdChain(paths)
    for await (const { offset, length, kind } of chain.extents()) {
      expect(offset).toBe(at)
      at += length
      kinds.push(kind)
    }
    expect(at).toBe(4 * MiB)
    // Zeros that were written are data: nobody looks at them.
    expect(kinds).toEqual(['hole', 'data', 'hole', 'data', 'hole', 'data', 'hole'])
  })

  test('a fixed disk is what Azure wants: whole MiB, and a footer that says so', async () => {
    const { paths } = writeChain(temporaryDirectory(), [plan('dynamic', { sizeBytes: 3 * MiB + 512 })])
    await using chain = await openVhdChain(paths)
    const stream = streamFixedVhd(chain)
    expect(stream.sizeBytes).toBe(4 * MiB + 512)
    const parts: Uint8Array[] = []
    for await (const part of stream) parts.push(Uint8Array.from(part))
    const file = path.join(temporaryDirectory(), 'fixed.vhd')
    writeFileSync(file, Buffer.concat(parts))
    expect(await getVhdInfo(file)).toMatchObject({
      type: 'fixed',
      currentSizeBytes: 4 * MiB,
      originalSizeBytes: 4 * MiB,
      creator: 'win',
      fileSizeBytes: 4 * MiB + 512,
    })
    expect((await examineVhd(file)).issues).toEqual([])
  })

  test('a raw stream becomes a dynamic disk, without its zeros', async () => {
    const file = path.join(temporaryDirectory(), 'new.vhd')
    const raw = Buffer.alloc(9 * MiB)
    raw.set(pattern('raw', 30), 5 * MiB + 100)
    async function* chunks(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < raw.length; at += 77_777) yield raw.subarray(at, at + 77_777)
    }
    await writeDynamicVhd(chunks(), file, { sizeBytes: raw.length })
    expect((await getVhdInfo(file)).blocks).toMatchObject({ total: 5, allocated: 1 })
    expect((await examineVhd(file)).issues).toEqual([])
    expect(Buffer.compare(await show(file), raw)).toBe(0)
    for (const sizeBytes of [raw.length - 1, raw.length + 1]) {
      const other = `${file}.${sizeBytes}`
      await expect(writeDynamicVhd(chunks(), other, { sizeBytes })).rejects.toBeInstanceOf(InvalidError)
      expect(() => statSync(other)).toThrow('ENOENT')
    }
  })

  test('a snapshot shows its parent, and takes what is written into the chain', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('dynamic')])
    const child = path.join(directory, 'child.vhd')
    await createSnapshot(child, paths[0] as string, { sizeBytes: 6 * MiB })
    expect((await examineVhd(child)).issues).toEqual([])
    expect(await findVhdChain(child)).toEqual([child, paths[0]])
    const shown = await show(child, paths[0] as string)
    expect(shown).toHaveLength(6 * MiB)
    expect(Buffer.compare(shown.subarray(0, 4 * MiB), chainView([plan('dynamic')]))).toBe(0)
    await expect(
      createSnapshot(`${child}2`, paths[0] as string, { sizeBytes: 2 * MiB }),
    ).rejects.toMatchObject({
      rule: 'child-smaller',
    })
    await expect(createSnapshot(child, paths[0] as string)).rejects.toThrow('EEXIST')
    await coalesceVhd(child)
    expect(await getVhdSize(paths[0] as string)).toBe(6)
  })

  test('flattening never overwrites, and leaves nothing behind when it fails', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeChain(directory, [plan('differencing'), plan('dynamic')])
    const file = path.join(directory, 'out')
    writeFileSync(file, 'mine')
    await expect(flattenChain(paths, file)).rejects.toThrow('EEXIST')
    expect(readFileSync(file, 'utf8')).toBe('mine')
    const other = path.join(directory, 'other')
    const onProgress = (): void => {
      throw new Error('from the listener')
    }
    await expect(flattenChain(paths, other, { onProgress })).rejects.toThrow('from the listener')
    expect(() => statSync(other)).toThrow('ENOENT')
  })
})

describe('aborts', () => {
  test('a coalesce that is aborted gives back what it took, and can be run again', async () => {
    const directory = temporaryDirectory()
    const plans = [
      plan('differencing', {
        sizeBytes: 24 * MiB,
        writes: Array.from({ length: 12 }, (_, at) => ({ sector: at * 4096, data: pattern(`${at}`, 9) })),
      }),
      plan('dynamic', { sizeBytes: 24 * MiB }),
    ]
    const { paths } = writeChain(directory, plans)
    const view = chainView(plans)
    const size = statSync(paths[1] as string).size
    const controller = new AbortController()
    const reason = new Error('stop')
    const onProgress = ({ completed }: { completed: number }): void => {
      if (completed > 8 * MiB) controller.abort(reason)
    }
    await expect(coalesceChain(paths, { signal: controller.signal, onProgress })).rejects.toBe(reason)
    expect(statSync(paths[1] as string).size).toBe(size)
    await checkVhd(paths[1] as string)
    expect(Buffer.compare(await show(...paths), view)).toBe(0)
    await coalesceChain(paths)
    expect(Buffer.compare(await show(paths[1] as string), view)).toBe(0)
  })

  test('everything that was aborted before does nothing', async () => {
    const signal = AbortSignal.abort(new Error('before'))
    const options = { signal }
    const { paths } = writeChain(temporaryDirectory(), [plan('differencing'), plan('dynamic')])
    const file = paths[0] as string
    const calls = [
      () => coalesceChain(paths, options),
      () => coalesceVhd(file, options),
      () => resizeVhd(file, 100, options),
      () => setVhdParent(file, paths[1] as string, options),
      () => fixVhdChain(paths, options),
      () => repairVhd(file, options),
      () => examineVhd(file, options),
      () => flattenChain(paths, `${file}.out`, options),
    ]
    for (const call of calls) await expect(call()).rejects.toThrow('before')
    expect(() => statSync(`${file}.out`)).toThrow('ENOENT')
  })
})

test('copy mode leaves the base alone until all is done', async () => {
  const plans = [plan('differencing'), plan('dynamic')]
  const { paths } = writeChain(temporaryDirectory(), plans)
  const base = paths[1] as string
  const before = readFileSync(base)
  const { ino } = statSync(base)
  const onProgress = (): void => {
    throw new Error('from the listener')
  }
  await expect(coalesceChain(paths, { mode: 'copy', onProgress })).rejects.toThrow('from the listener')
  expect(readFileSync(base).equals(before)).toBe(true)
  await coalesceChain(paths, { mode: 'copy' })
  expect(statSync(base).ino).not.toBe(ino)
  expect(Buffer.compare(await show(base), chainView(plans))).toBe(0)
})

test('a block that nobody wrote is not made: zeros stay away from the base', async () => {
  const plans = [
    plan('differencing', {
      writes: [
        { sector: 4096, data: Buffer.alloc(4096 * 512) },
        { sector: 10, data: Buffer.alloc(1024) },
      ],
    }),
    plan('dynamic'),
  ]
  const { paths } = writeChain(temporaryDirectory(), plans)
  await coalesceChain(paths)
  expect((await getVhdInfo(paths[1] as string)).blocks).toMatchObject({ allocated: 1 })
  expect(Buffer.compare(await show(paths[1] as string), chainView(plans))).toBe(0)
})

test('a file that would become too large for its table is refused before it is written', async () => {
  const directory = temporaryDirectory()
  const far = buildDisk(plan('dynamic', { sizeBytes: 8 * MiB }))
  const base = path.join(directory, 'base.vhd')
  const place = 2 ** 41 - 3 * MiB - 512
  const [block, start] = [...far.table][0] as [number, number]
  const footer = far.bytes.at(-1)?.[1] as Uint8Array
  const table = Buffer.alloc(4)
  table.writeUInt32BE(place / 512)
  const bytes = far.bytes
    .filter(([offset]) => offset < far.fileBytes - 512)
    .map(([offset, data]) => [offset === start * 512 ? place : offset, data] as const)
  const fileBytes = place + 512 + 2 * MiB + 512
  writeDisk(base, {
    ...far,
    fileBytes,
    bytes: [...bytes, [far.tableOffset + block * 4, table], [fileBytes - 512, footer]],
  })
  const child = path.join(directory, 'child.vhd')
  const leaf = plan('differencing', { sizeBytes: 8 * MiB, writes: [{ sector: 9000, data: pattern('x', 2) }] })
  writeDisk(child, buildDisk({ ...leaf, parentUniqueId: far.uniqueId }))
  await expect(coalesceChain([child, base])).rejects.toMatchObject({ rule: 'file-size' })
  expect(statSync(base).size).toBe(fileBytes)
  expect((await examineVhd(base)).ok).toBe(true)
})
