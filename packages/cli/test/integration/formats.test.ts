import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { formatNames, toQemuFormat } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const run = promisify(execFile)
const MiB = 1024 ** 2
/** Formats that a tool writes, and everybody refuses to read. */
const outdated = new Set(['qcow', 'qed'])

async function makeDisk(bench: Workbench, bytes = 2 * MiB): Promise<Buffer> {
  const disk = Buffer.alloc(bytes)
  disk.write('a disk of some use', MiB)
  await writeFile(bench.path('disk.raw'), disk)
  return disk
}

/** The names of a format that is written and read. */
const names = formatNames('write').filter((name) => !outdated.has(name) && toQemuFormat(name) !== 'luks')
const others = names.filter((name) => toQemuFormat(name) !== 'raw')

test.each(others)('%s is written under this name and read under all of its names', async (name) => {
  await using bench = await openWorkbench()
  const disk = await makeDisk(bench)
  const store = ['--store', bench.path('store'), '--no-sandbox', '--json']
  const here = (argv: readonly string[]): Promise<Record<string, unknown>> => bench.json([...argv, ...store])
  expect(await here(['convert', 'disk.raw', 'disk', '--from', 'raw', '--to', name])).toMatchObject({
    exitCode: 0,
  })
  const inspected = await here(['inspect', 'disk'])
  const isIt = async (what: string, answer: Record<string, unknown>, file: string): Promise<void> => {
    expect([what, answer['error'], answer['exitCode']]).toEqual([what, undefined, 0])
    const start = (await readFile(bench.path(file))).subarray(0, disk.length)
    expect([what, start.equals(disk)]).toEqual([what, true])
  }
  const same = names.filter((other) => toQemuFormat(other) === toQemuFormat(name))
  expect(same).toContain(toQemuFormat(String(inspected['format'])) === toQemuFormat(name) ? name : undefined)
  for (const other of same) {
    await isIt(
      `--from ${other}`,
      await here(['convert', 'disk', 'out', '--from', other, '--to', 'raw']),
      'out',
    )
    expect(await here(['inspect', 'disk', '--as', other])).toMatchObject({ exitCode: 0, matches: true })
    const created = await here(['image', 'create', '--name', other, '--disk-format', other, '--file', 'disk'])
    expect(created).toMatchObject({
      exitCode: 0,
      disk_format: expect.stringMatching(/^(vhd|ploop|vhdx|qcow2|vmdk|vdi)$/),
    })
    await isIt(`image create ${other}`, await here(['fetch', String(created['id']), 'out']), 'out')
    const fetched = await here(['fetch', String(created['id']), 'volume', '--format', other])
    expect(fetched).toMatchObject({ exitCode: 0 })
    const uploaded = await here([
      'upload',
      'disk',
      '--name',
      'u',
      '--volume-format',
      other,
      '--disk-format',
      'raw',
    ])
    await isIt(`upload ${other}`, await here(['fetch', String(uploaded['imageId']), 'out']), 'out')
    const kept = await here([
      'upload',
      'disk',
      '--name',
      'k',
      '--volume-format',
      name,
      '--disk-format',
      other,
    ])
    await isIt(`upload as ${other}`, await here(['fetch', String(kept['imageId']), 'out']), 'out')
  }
})

test('every name of a raw disk is taken where a raw disk is meant', async () => {
  await using bench = await openWorkbench()
  const disk = await makeDisk(bench)
  for (const name of names.filter((other) => toQemuFormat(other) === 'raw')) {
    const { exitCode } = await bench.run([
      'convert',
      'disk.raw',
      'out',
      '--from',
      name,
      '--to',
      name,
      '--no-sandbox',
      '-q',
    ])
    expect([name, exitCode, (await readFile(bench.path('out'))).equals(disk)]).toEqual([name, 0, true])
  }
})

test.each([
  ['gz', gzipSync('a disk'), 'gzip'],
  ['xz', Buffer.from('fd377a585a000004', 'hex'), 'xz'],
  ['zst', Buffer.from('28b52ffd04580000', 'hex'), 'zstd'],
  ['zip', Buffer.from('504b030414000000', 'hex'), 'zip'],
])(
  '%s is refused alike by every command that does not open it, as what it is',
  async (_name, bytes, found) => {
    await using bench = await openWorkbench()
    await writeFile(bench.path('file'), bytes)
    const conversions = [
      ['convert', 'file', 'out', '--from', 'raw', '--to', 'qcow2'],
      ['convert', 'file', 'out', '--from', 'iso', '--to', 'raw'],
      ['convert', 'file', 'out', '--from', found, '--to', 'raw'],
    ]
    const images = [
      ['upload', 'file', '--name', 'a'],
      ['upload', 'file', '--name', 'a', '--disk-format', 'qcow2'],
      ['image', 'create', '--name', 'a', '--file', 'file'],
      ['image', 'create', '--name', 'a', '--file', 'file', '--disk-format', 'raw'],
    ]
    const commands = [
      // What is compressed is opened there.
      ...(found === 'zip' ? [...conversions, ...images] : []),
      ['upload', 'file', '--name', 'a', '--volume-format', 'qcow2'],
      ['upload', 'file', '--name', 'a', '--volume-format', 'raw'],
      ['upload', 'file', '--name', 'a', '--volume-format', 'raw', '--disk-format', 'qcow2'],
    ]
    for (const argv of commands) {
      const answer = await bench.json<{ error?: Record<string, unknown> }>([
        ...argv,
        '--json',
        '--store',
        bench.path('store'),
      ])
      expect([argv, answer.exitCode, answer.error]).toEqual([
        argv,
        3,
        expect.objectContaining({
          code: 'IMAGE_UNACCEPTABLE',
          rule: 'disk-image',
          found,
          offset: 0,
          accepted: expect.any(String),
        }),
      ])
    }
    const { stderr } = await bench.run(['upload', 'file', '--name', 'a', '--volume-format', 'qcow2'])
    for (const word of ['rule', 'found', 'at', 'accepted', '--allow-archives-as-raw'])
      expect(stderr).toContain(word)
    expect(await bench.json(['image', 'list', '--store', bench.path('store'), '--json'])).toMatchObject({
      images: [],
    })
    const allowed = ['--allow-archives-as-raw', '--no-sandbox', '-q', '--store', bench.path('store')]
    expect(
      await bench.run(['convert', 'file', 'out', '--from', 'raw', '--to', 'qcow2', ...allowed]),
    ).toMatchObject({ exitCode: 0 })
    const create = ['image', 'create', '--name', 'a', '--file', 'file', '--disk-format', 'raw']
    expect(await bench.run([...create, ...allowed])).toMatchObject({ exitCode: 0 })
    expect(await bench.run([...create, '--no-inspect', '-q', '--store', bench.path('store')])).toMatchObject({
      exitCode: 0,
    })
  },
)

test('an image is made of a file as what it is, and not as something else', async () => {
  await using bench = await openWorkbench()
  await makeDisk(bench)
  await run(requireTool('qemu-img'), [
    'convert',
    '-O',
    'vpc',
    '-f',
    'raw',
    bench.path('disk.raw'),
    bench.path('disk.vhd'),
  ])
  const create = (...argv: string[]): Promise<{ exitCode: number } & Record<string, unknown>> =>
    bench.json([
      'image',
      'create',
      '--name',
      'a',
      '--file',
      'disk.vhd',
      '--json',
      '--store',
      bench.path('store'),
      ...argv,
    ])
  expect(await create()).toMatchObject({ exitCode: 0, disk_format: 'vhd', container_format: 'bare' })
  expect(await create('--disk-format', 'vpc')).toMatchObject({ exitCode: 0, disk_format: 'vhd' })
  expect(await create('--disk-format', 'qcow2')).toMatchObject({
    exitCode: 3,
    error: { rule: 'format-mismatch', found: 'vhd' },
  })
  expect(await create('--disk-format', 'raw')).toMatchObject({
    exitCode: 3,
    error: { rule: 'format-mismatch' },
  })
  expect(await create('--disk-format', 'qcow2', '--no-inspect')).toMatchObject({
    exitCode: 0,
    disk_format: 'qcow2',
  })
  expect(await create('--no-inspect')).toMatchObject({ exitCode: 2 })
  expect(await create('--container-format', 'ova')).toMatchObject({ exitCode: 2 })
})

test.each([
  ['raw', '3M', 3 * MiB],
  ['raw', '2097152B', 2 * MiB],
  ['raw', '2.5MiB', 2.5 * MiB],
  ['qcow2', '4mib', 4 * MiB],
  ['vhd', '4MB', 4 * MiB],
  ['vhdx', '4096K', 4 * MiB],
  ['vmdk', '4M', 4 * MiB],
  ['vdi', '0.00390625', 4 * MiB],
])('a file of %s becomes as large as --size %s says, new or not', async (format, size, bytes) => {
  await using bench = await openWorkbench()
  const disk = await makeDisk(bench)
  const store = ['--store', bench.path('store'), '--no-sandbox', '--json']
  const { id } = await bench.json<{ id: string }>([
    'image',
    'create',
    '--name',
    'a',
    '--file',
    'disk.raw',
    ...store,
  ])
  await run(requireTool('qemu-img'), [
    'convert',
    '-O',
    'qcow2',
    '-f',
    'raw',
    bench.path('disk.raw'),
    bench.path('disk.qcow2'),
  ])
  const other = await bench.json<{ id: string }>([
    'image',
    'create',
    '--name',
    'b',
    '--file',
    'disk.qcow2',
    ...store,
  ])
  for (const image of [id, other.id]) {
    for (const round of ['new', 'there before']) {
      const fetched = await bench.json([
        'fetch',
        image,
        'volume',
        '--format',
        format,
        '--size',
        size,
        ...store,
      ])
      expect([round, fetched]).toEqual([round, expect.objectContaining({ exitCode: 0 })])
      expect(await bench.json(['inspect', 'volume', '--json'])).toMatchObject({ virtualSizeBytes: bytes })
      await bench.run(['convert', 'volume', 'out', '--from', format, '--to', 'raw', '--no-sandbox', '-q'])
      expect((await readFile(bench.path('out'))).subarray(0, disk.length).equals(disk)).toBe(true)
    }
    await truncate(bench.path('volume'), 0)
  }
  expect(await bench.json(['fetch', id, 'small', '--size', '1M', ...store])).toMatchObject({
    exitCode: 3,
    error: { rule: 'virtual-size', message: expect.stringContaining('1 MiB') },
  })
  await expect(stat(bench.path('small'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test.each(['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse'])(
  'a VMDK in several files is converted where they are given: %s',
  async (subformat) => {
    await using bench = await openWorkbench()
    const disk = await makeDisk(bench)
    await mkdir(bench.path('set'))
    const options = ['-O', 'vmdk', '-o', `subformat=${subformat}`]
    await run(requireTool('qemu-img'), [
      'convert',
      ...options,
      bench.path('disk.raw'),
      bench.path('set/d.vmdk'),
    ])
    const part = (await readdir(bench.path('set'))).find((name) => name !== 'd.vmdk') ?? ''
    const convert = (...operands: string[]): Promise<Record<string, unknown>> =>
      bench.json(['convert', ...operands, 'out', '--from', 'vmdk', '--to', 'raw', '--no-sandbox'])
    for (const operands of [['set'], ['set/d.vmdk', `set/${part}`]]) {
      await rm(bench.path('out'), { force: true })
      expect(await convert(...operands)).toMatchObject({ exitCode: 0 })
      expect((await readFile(bench.path('out'))).equals(disk)).toBe(true)
    }
    const laidOut = ['convert', 'set', 'out.qcow2', '--from', 'vmdk', '--to', 'qcow2', '--no-sandbox']
    expect(await bench.json(laidOut)).toMatchObject({ exitCode: 0 })
    // What is beside it is not opened unless it is given, and nothing else than it names is read.
    await writeFile(bench.path('other'), disk)
    for (const operands of [['set/d.vmdk'], ['set/d.vmdk', 'other']]) {
      expect(await convert(...operands)).toMatchObject({ exitCode: 3, error: { rule: 'vmdk-extents' } })
    }
    expect(await convert(`set/${part}`, 'set/d.vmdk')).toMatchObject({ exitCode: 3 })
    await writeFile(bench.path('set/second.vmdk'), '# Disk DescriptorFile')
    await mkdir(bench.path('empty'))
    for (const operands of [['set'], ['empty'], ['set', 'other']]) {
      expect(await convert(...operands)).toMatchObject({ exitCode: 2 })
    }
  },
)

test('a raw disk is known by its two ends, and needs no temporary space', async () => {
  await using bench = await openWorkbench()
  await makeDisk(bench)
  const fixed = ['convert', '-f', 'raw', '-O', 'vpc', '-o', 'subformat=fixed']
  await run(requireTool('qemu-img'), [...fixed, bench.path('disk.raw'), bench.path('fixed')])
  const plan = (name: string): Promise<Record<string, unknown>> =>
    bench.json(['fetch', `./${name}`, 'volume', '--dry-run', '--no-sandbox'])
  expect(await plan('disk.raw')).toMatchObject({ exitCode: 0, format: 'raw', temporaryBytes: 0 })
  const { temporaryBytes } = await plan('fixed')
  expect(temporaryBytes).toBeGreaterThan(0)
  expect(await bench.json(['fetch', './fixed', 'volume', '--no-sandbox'])).toMatchObject({ format: 'vhd' })
})

test('the disks of a local archive come out in one pass, without temporary space', async () => {
  await using bench = await openWorkbench()
  const disk = await makeDisk(bench)
  for (const name of ['one', 'two']) {
    await writeFile(bench.path('disk.raw'), disk.fill(name, 0, 4096))
    const made = ['convert', '-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized']
    await run(requireTool('qemu-img'), [...made, bench.path('disk.raw'), bench.path(`${name}.vmdk`)])
  }
  await run('tar', ['-cf', bench.path('machine.ova'), '-C', bench.folder, 'one.vmdk', 'two.vmdk'])
  let mostBytes = 0
  const look = async (): Promise<void> => {
    for (const name of await readdir(bench.path('conversion')).catch(() => [])) {
      const found = await stat(bench.path(`conversion/${name}`)).catch(() => undefined)
      if (found?.isFile() === true) mostBytes = Math.max(mostBytes, found.size)
    }
  }
  const watch = setInterval(() => void look(), 1)
  const reports = await bench.json<{ length: number }>([
    'fetch',
    './machine.ova',
    'a',
    'b',
    '--disk',
    'two.vmdk',
    '--disk',
    'one.vmdk',
    '--no-sandbox',
  ])
  clearInterval(watch)
  expect(reports).toMatchObject({ exitCode: 0 })
  expect(mostBytes).toBe(0)
  for (const [volume, name] of [
    ['a', 'two'],
    ['b', 'one'],
  ] as const) {
    expect((await readFile(bench.path(volume))).equals(disk.fill(name, 0, 4096))).toBe(true)
  }
})
