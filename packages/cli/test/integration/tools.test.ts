import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { requireTool } from '@disk-image/testing'
import { commandLine, runCommand, startCommand } from '../helpers/command.ts'
import { openWorkbench, type Outcome, type Workbench } from '../helpers/run-command.ts'

const qemuImg = requireTool('qemu-img')

function run(folder: Workbench, argv: readonly string[]): Promise<Outcome> {
  return folder.run([...argv, '--store', 'store'])
}

/** Runs a command that must work, and returns its answer. */
async function json<T>(folder: Workbench, argv: readonly string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await run(folder, [...argv, '--json'])
  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as T
}

/** A raw disk of 4 MiB with some data and some holes. */
async function makeDisk(folder: Workbench): Promise<Buffer> {
  const disk = Buffer.alloc(4 * 1024 * 1024)
  randomBytes(700_000).copy(disk, 1_000_000)
  await writeFile(folder.path('disk.raw'), disk)
  return disk
}

async function expectNothingTemporary(folder: Workbench): Promise<void> {
  expect(await readdir(folder.path('conversion')).catch(() => [])).toEqual([])
}

test.each([
  { format: 'qcow2', options: [] },
  { format: 'qcow2', options: ['--compress', 'zstd'] },
  { format: 'vmdk', options: [] },
  { format: 'vhd', options: [] },
  { format: 'vhdx', options: [] },
  { format: 'vdi', options: [] },
])('a disk goes up as $format $options and comes back the same', async ({ format, options }) => {
  await using folder = await openWorkbench()
  const disk = await makeDisk(folder)
  const upload = ['upload', 'disk.raw', '--name', 'disk', '--disk-format', format]
  const { imageId } = await json<{ imageId: string }>(folder, upload.concat(options))
  const report = await json<object>(folder, ['fetch', imageId, 'volume.raw'])
  expect(report).toMatchObject({ format, hash: { verified: true } })
  const volume = await readFile(folder.path('volume.raw'))
  // A VHD is as large as its geometry; behind the disk there are only zeroes.
  expect(volume.subarray(0, disk.length).equals(disk)).toBe(true)
  expect(volume.subarray(disk.length).every((byte) => byte === 0)).toBe(true)
  await expectNothingTemporary(folder)
})

test.each(['qcow2', 'vmdk', 'vhdx', 'vdi'])(
  'an image is fetched into a volume of format %s',
  async (format) => {
    await using folder = await openWorkbench()
    await makeDisk(folder)
    const { imageId } = await json<{ imageId: string }>(folder, ['upload', 'disk.raw', '--name', 'disk'])
    await json(folder, ['fetch', imageId, 'volume', '--format', format])
    execFileSync(qemuImg, [
      'compare',
      '-f',
      'raw',
      '-F',
      format,
      folder.path('disk.raw'),
      folder.path('volume'),
    ])
    await expectNothingTemporary(folder)
  },
)

test('a block device is written raw, and what its guest may have written onto it is no answer', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  execFileSync('truncate', ['-s', '16M', folder.path('backing')])
  const device = execFileSync('losetup', ['--find', '--show', folder.path('backing')], {
    encoding: 'utf8',
  }).trim()
  try {
    expect((await run(folder, ['convert', 'disk.raw', 'disk.qcow2'])).exitCode).toBe(0)
    expect(await json(folder, ['convert', 'disk.qcow2', device])).toMatchObject({ from: 'qcow2', to: 'raw' })
    expect((await run(folder, ['verify', device, './disk.qcow2'])).exitCode).toBe(0)
    expect((await run(folder, ['compare', 'disk.qcow2', device])).exitCode).toBe(0)
    execFileSync('dd', [`if=${folder.path('disk.qcow2')}`, `of=${device}`, 'conv=notrunc', 'status=none'])
    const refused = await run(folder, ['convert', device, 'out.raw'])
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('can be qcow2 or raw') })
    expect(await readdir(folder.folder)).not.toContain('out.raw')
  } finally {
    execFileSync('losetup', ['--detach', device])
  }
})

test('a disk is converted, and what it is said to be must be true', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  const convert = ['convert', 'disk.raw', 'disk.qcow2', '--compress', 'zlib']
  expect(await json(folder, convert)).toMatchObject({ from: 'raw', to: 'qcow2' })
  execFileSync(qemuImg, [
    'compare',
    '-f',
    'raw',
    '-F',
    'qcow2',
    folder.path('disk.raw'),
    folder.path('disk.qcow2'),
  ])
  const wrong = await run(folder, ['convert', 'disk.qcow2', 'out.raw', '--from', 'vmdk', '--to', 'raw'])
  expect(wrong.exitCode).toBe(3)
  const same = await run(folder, ['convert', 'disk.raw', './disk.raw', '--from', 'raw', '--to', 'qcow2'])
  expect(same.exitCode).toBe(2)
  expect(await readdir(folder.folder)).not.toContain('out.raw')
})

test('an image that names another file is refused with 3, its rule and its place, and leaves nothing', async () => {
  await using folder = await openWorkbench()
  const evil = folder.path('evil.qcow2')
  execFileSync(qemuImg, ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', evil, '64M'])
  const inspected = await run(folder, ['inspect', 'evil.qcow2'])
  expect(inspected.exitCode).toBe(3)
  expect(inspected.stdout).toContain('/etc/passwd')
  const create = [
    'image',
    'create',
    '--name',
    'evil',
    '--disk-format',
    'qcow2',
    '--file',
    'evil.qcow2',
    '--quiet',
  ]
  expect(await run(folder, create)).toMatchObject({ exitCode: 3, stdout: '' })
  const id = (await run(folder, [...create, '--no-inspect'])).stdout.trim()
  const { exitCode, stdout, stderr } = await run(folder, ['fetch', id, 'volume.raw'])
  expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' })
  expect(stderr).toMatch(/^ {2}rule +qcow2-backing-file$/m)
  expect(stderr).toMatch(/^ {2}found +\/etc\/passwd/m)
  const refused = await run(folder, ['fetch', id, 'volume.raw', '--json'])
  expect(JSON.parse(refused.stdout)).toMatchObject({
    error: { code: 'IMAGE_UNACCEPTABLE', rule: 'qcow2-backing-file', found: '/etc/passwd' },
  })
  const plan = await run(folder, ['fetch', id, 'volume.raw', '--dry-run', '--json'])
  expect(plan.exitCode).toBe(3)
  expect(JSON.parse(plan.stdout)).toMatchObject({ refusals: [{ rule: 'qcow2-backing-file' }] })
  expect(await readdir(folder.folder)).not.toContain('volume.raw')
  await expectNothingTemporary(folder)
})

test('an image that is not what its record says is refused', async () => {
  await using folder = await openWorkbench()
  execFileSync(qemuImg, ['create', '-q', '-f', 'qcow2', folder.path('disk.qcow2'), '1M'])
  const create = [
    'image',
    'create',
    '--name',
    'x',
    '--disk-format',
    'raw',
    '--file',
    'disk.qcow2',
    '--quiet',
    '--no-inspect',
  ]
  const id = (await run(folder, create)).stdout.trim()
  expect((await run(folder, ['fetch', id, 'volume.raw'])).exitCode).toBe(3)
  expect(await readdir(folder.folder)).not.toContain('volume.raw')
})

test('a volume is encrypted with a passphrase that no command line shows', async () => {
  await using folder = await openWorkbench()
  requireTool('cryptsetup')
  await makeDisk(folder)
  await writeFile(folder.path('passphrase'), 'correct horse', { mode: 0o600 })
  const { imageId } = await json<{ imageId: string }>(folder, ['upload', 'disk.raw', '--name', 'disk'])
  const fetch = ['fetch', imageId, 'volume.luks', '--format', 'luks', '--cipher', 'aes-xts-plain64']
  expect((await run(folder, fetch)).exitCode).toBe(2)
  const key = ['--key-size', '256', '--passphrase-file', 'passphrase', '--verbose']
  const done = await run(folder, [...fetch, ...key])
  expect(done.exitCode).toBe(0)
  expect(done.stderr).not.toContain('qemu-img')
  // A cipher that is not written in process.
  const other = ['fetch', imageId, 'other.luks', '--format', 'luks', '--cipher', 'serpent-xts-plain64']
  const byTool = await run(folder, [...other, ...key])
  expect(byTool.exitCode).toBe(0)
  expect(byTool.stderr).toMatch(/^\+ qemu-img convert /m)
  expect(byTool.stderr + done.stderr).not.toContain('correct horse')
  const opened = [
    'open',
    '--test-passphrase',
    '--key-file',
    folder.path('passphrase'),
    folder.path('volume.luks'),
  ]
  execFileSync(requireTool('cryptsetup'), opened)
  const bad = await run(folder, [...fetch, '--passphrase-file', 'passphrase', '--key-size', '77'])
  expect(bad.exitCode).not.toBe(0)
})

test('--verbose shows what is run, --sandbox off and without a sandbox alike', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  const convert = ['convert', 'disk.raw', 'disk.qed', '--from', 'raw', '--to', 'qed', '--verbose']
  for (const flags of [['--sandbox', 'off'], ['--no-sandbox']]) {
    const { exitCode, stderr } = await run(folder, convert.concat(flags))
    expect(exitCode).toBe(0)
    expect(stderr).toMatch(/^\+ qemu-img convert .*-f raw -O qed /m)
    expect(stderr).not.toContain('sandboxed')
  }
  requireTool('bwrap')
  const { exitCode, stderr } = await run(folder, convert)
  expect(exitCode).toBe(0)
  expect(stderr).toMatch(/^\+ qemu-img convert .*-f raw -O qed /m)
})

test('as a process: one JSON object on standard output, and the exit code', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  const done = await runCommand(['inspect', 'disk.raw', '--json'], { cwd: folder.folder })
  expect(done).toMatchObject({ exitCode: 0, stderr: '' })
  expect(JSON.parse(done.stdout)).toMatchObject({ format: 'raw', virtualSizeBytes: 4 * 1024 * 1024 })
  const missing = await runCommand(['fetch', 'missing', 'volume', '--json'], { cwd: folder.folder })
  expect(missing).toMatchObject({ exitCode: 4, stderr: '' })
  expect(JSON.parse(missing.stdout)).toMatchObject({ error: { code: 'IMAGE_NOT_FOUND' } })
})

test('a reader that goes away is no reason for noise', async () => {
  await using folder = await openWorkbench()
  const script = 'set -o pipefail; "$@" 2>stderr | head -c 10; test ! -s stderr'
  const argv = ['-c', script, 'bash', ...commandLine(['fetch', '--help'])]
  const output = execFileSync('/bin/bash', argv, { cwd: folder.folder, encoding: 'utf8' })
  expect(output).toHaveLength(10)
})

test('help does without everything heavy', async () => {
  await using folder = await openWorkbench()
  const hook = folder.path('hook.mjs')
  await writeFile(
    hook,
    `import { registerHooks } from 'node:module'
     registerHooks({ load: (url, context, next) => (process.stderr.write(url + '\\n'), next(url, context)) })`,
  )
  const environment = { NODE_OPTIONS: `--import=${hook}` }
  const loaded = async (argv: readonly string[]): Promise<string> =>
    (await runCommand(argv, { cwd: folder.folder, environment })).stderr
  const help = await loaded(['fetch', '--help'])
  expect(help).toContain('packages/cli/src/run.ts')
  expect(help).not.toMatch(/packages\/(image-utils|host|glance-client|vhd|qemu-img)\//)
  // What is heavy is seen by the same means.
  expect(await loaded(['clean', '--conversion-dir', 'conversion'])).toContain('packages/image-utils/')
})

test('tools go through the root helper', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  const convert = ['convert', 'disk.raw', 'disk.qed', '--from', 'raw', '--to', 'qed', '--verbose']
  const { exitCode, stderr } = await run(folder, [...convert, '--root-helper', '/usr/bin/env HELPED=yes'])
  expect(exitCode).toBe(0)
  expect(stderr).toMatch(/^\+ \/usr\/bin\/env HELPED=yes qemu-img convert /m)
})

/** Process ids of tools that have a file of this folder on their command line. */
async function toolsAt(folder: Workbench): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return ids.filter(
    (_, index) => /qemu-img|bwrap/.test(lines[index] ?? '') && lines[index]?.includes(folder.folder),
  )
}

test.each([
  ['SIGINT', 'a tool', ['--disable-sparse']],
  ['SIGTERM', 'a tool', ['--disable-sparse']],
  ['SIGINT', 'its own encoder', []],
] as const)('%s while %s works leaves neither tool nor file', async (name, who, more) => {
  await using folder = await openWorkbench()
  // Random bytes that deflate works on in vain: some seconds of work.
  await writeFile(folder.path('disk.raw'), randomBytes(96 * 1024 * 1024))
  const convert = [
    'convert',
    'disk.raw',
    'disk.qcow2',
    '--from',
    'raw',
    '--to',
    'qcow2',
    '--compress',
    'zlib',
    ...more,
  ]
  const { child, ended } = startCommand(convert, { cwd: folder.folder })
  const works = async (): Promise<boolean> => who !== 'a tool' || (await toolsAt(folder)).length > 0
  await expect.poll(works, { timeout: 20_000, interval: 20 }).toBe(true)
  // The file has its name when it is whole.
  const begun = async (): Promise<boolean> => (await readdir(folder.folder)).length > 1
  await expect.poll(begun, { timeout: 20_000, interval: 20 }).toBe(true)
  const startedMs = performance.now()
  child.kill(name)
  const { exitCode } = await ended
  expect(performance.now() - startedMs).toBeLessThan(1000)
  expect(exitCode).toBe(130)
  expect(await toolsAt(folder)).toEqual([])
  expect(await readdir(folder.folder)).toEqual(['disk.raw'])
})

test('where no file may become large, every command says so and leaves nothing; tools still run', async () => {
  await using folder = await openWorkbench()
  await makeDisk(folder)
  const kibibytes = 2000
  const limited = (argv: readonly string[]): ReturnType<typeof spawnSync> =>
    spawnSync('sh', ['-c', `ulimit -f ${kibibytes * 2}; exec "$@"`, 'sh', ...commandLine(argv)], {
      cwd: folder.folder,
      encoding: 'utf8',
      input: randomBytes(kibibytes * 1024 + 1),
      env: { PATH: process.env['PATH'] ?? '', HOME: folder.folder, NODE_DISABLE_COMPILE_CACHE: '1' },
    })
  const common = ['--store', 'store', '--conversion-dir', 'conversion', '--quiet']
  for (const argv of [
    ['upload', 'disk.raw', '--name', 'disk'],
    ['convert', 'disk.raw', 'out.vhd', '--from', 'raw', '--to', 'vhd', '--subformat', 'fixed'],
    ['image', 'create', '--name', 'disk', '--disk-format', 'raw', '--file', '-'],
  ]) {
    const { status, signal, stderr } = limited([...argv, ...common])
    expect({ status, signal }, `${argv[0]}: ${stderr}`).toEqual({ status: 3, signal: null })
    expect(stderr).toContain('takes no file of that size')
  }
  expect(await readdir(folder.path('store'))).toEqual([])
  await expectNothingTemporary(folder)
  const small = limited(['convert', 'disk.raw', 'out.qcow2', '--from', 'raw', '--to', 'qcow2', ...common])
  expect(small.status, `${small.stderr}`).toBe(0)
  expect((await readdir(folder.folder)).filter((name) => name.includes('out'))).toEqual(['out.qcow2'])
})
