import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { nearest } from '../../src/config/nearest.ts'
import { allSettings, variablesOf } from '../../src/config/settings.ts'
import { buildProgram } from '../../src/program.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

async function withConfig(text: string): Promise<Workbench & { readonly file: string }> {
  const bench = await openWorkbench()
  const file = bench.path('.config/disk-image/config.yaml')
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, text, { mode: 0o600 })
  return { ...bench, file }
}

interface Shown {
  readonly settings: readonly {
    command: string
    option: string
    value: string
    source: string
    from: string
  }[]
}

/** What `config show` tells of one option. */
async function show(
  bench: Workbench,
  option: string,
  environment: Record<string, string> = {},
  argv: readonly string[] = [],
): Promise<string[]> {
  const { settings } = await bench.json<Shown>(['config', 'show', ...argv], { environment })
  return settings
    .filter((one) => `${one.command} ${one.option}`.trim() === option)
    .flatMap(({ value, source, from }) => [value, source, from])
}

test('the command line goes before a variable, this before the file, this before the default', async () => {
  await using bench = await withConfig(
    '# remark\nsandbox: off\nfetch:\n  size: 20G\n  checksum: [sha256:00, sha256:01]\n',
  )
  expect(await show(bench, '--sandbox')).toEqual(['off', 'file', `${bench.file}:2`])
  expect(await show(bench, 'fetch --size')).toEqual(['20G', 'file', `${bench.file}:4`])
  expect(await show(bench, 'fetch --checksum')).toEqual(['sha256:00,sha256:01', 'file', `${bench.file}:5`])
  expect(await show(bench, 'fetch --format')).toEqual(['raw', 'default', null])
  const variables = { DISK_IMAGE_SANDBOX: 'auto', DISK_IMAGE_SIZE: '3', DISK_IMAGE_FETCH_SIZE: '4' }
  expect(await show(bench, '--sandbox', variables)).toEqual(['auto', 'environment', 'DISK_IMAGE_SANDBOX'])
  expect(await show(bench, 'fetch --size', variables)).toEqual(['4', 'environment', 'DISK_IMAGE_FETCH_SIZE'])
  expect(await show(bench, 'submit fetch --size', variables)).toEqual(['3', 'environment', 'DISK_IMAGE_SIZE'])
  expect(await show(bench, '--sandbox', variables, ['--sandbox', 'require'])).toEqual([
    'require',
    'command line',
    null,
  ])
})

test('what is set has its effect, and a list on the command line begins anew', async () => {
  await using bench = await withConfig(
    'store: images\njson: true\nimage:\n  create:\n    name: from-the-file\n    tag: [a, b]\n    property: { os: linux, bits: 64 }\n',
  )
  await writeFile(bench.path('disk.raw'), Buffer.alloc(1024 * 1024))
  const made = await bench.run(['image', 'create', '--file', 'disk.raw'])
  expect(JSON.parse(made.stdout)).toMatchObject({
    name: 'from-the-file',
    properties: { os: 'linux', bits: '64' },
  })
  const tagged = await bench.run(['image', 'create', '--file', 'disk.raw', '--tag', 'c', '--name', 'other'])
  expect(JSON.parse(tagged.stdout)).toMatchObject({ name: 'other', tags: ['c'] })
  // A path in the file is from the file's folder.
  const listed = await bench.run(['image', 'list', '--store', '.config/disk-image/images'])
  expect(JSON.parse(listed.stdout).images).toHaveLength(2)
  // Errors, too, are as the file says.
  expect(JSON.parse((await bench.run(['image', 'show', 'no'])).stdout).error.code).toBe('IMAGE_NOT_FOUND')
  const words = await bench.run(['image', 'list'], { environment: { DISK_IMAGE_JSON: 'no' } })
  expect(words.stdout).toContain('from-the-file')
})

test('a place on the command line or of OS_ variables goes before one in the file', async () => {
  await using bench = await withConfig('store: images\nfetch: { jobs: 2 }\n')
  const cloud = await bench.run(['image', 'list', '--cloud', 'nope'])
  expect(cloud.stderr).toContain('nope')
  const named = await bench.run(['image', 'list'], { environment: { OS_CLOUD: 'other' } })
  expect(named.stderr).toContain('other')
  expect((await bench.run(['image', 'list'])).exitCode).toBe(0)
  // What goes with --list only is no mistake where the file has it.
  expect((await bench.run(['fetch', 'no', 'dest'])).stderr).toContain('Image no could not be found')
})

test.each([
  ['clod: production\n', ':1: There is no key "clod". Did you mean cloud?'],
  ['\nfetch:\n  sise: 3\n', ':3: There is no key "sise". Did you mean size?'],
  ['fetch:\n  wholly-unknown: 3\n', 'See: disk-image config show --all'],
  ['cloud: [a, b]\n', ':1: A value is a word'],
  ['cloud: a\ncloud: b\n', ':2: Map keys must be unique.'],
  ['cloud: *other\n', ':1: '],
  ['cloud: &name production\n', ':1: A value is a word'],
  ['cloud:\n', ':1: A value is'],
  ['a: [\n', ': '],
  ['- cloud\n', ':1: it must be KEY: VALUE'],
  ['image:\n  list:\n    limit: many\n', ':3: --limit must be a whole number'],
  ['json: perhaps\n', ':1: json must be true or false; it is "perhaps".'],
  ['sandbox: perhaps\n', ':1: Allowed choices are auto, require, off.'],
  ['redis: redis://user:secret@host\n', ':1: redis has a password in it'],
])('%j is refused with its line', async (text, message) => {
  await using bench = await withConfig(text)
  const argv = text.includes('redis') ? ['jobs'] : ['image', 'list']
  const { exitCode, stderr, stdout } = await bench.run(text.includes('sise') ? ['fetch', 'a', 'b'] : argv)
  expect(stderr + stdout).toContain(message)
  expect(stderr + stdout).not.toContain('secret')
  expect(exitCode).toBe(2)
  expect((await bench.run([...argv, '--help'])).exitCode).toBe(0)
})

test('a file that others may write is not read, and one of remarks says nothing', async () => {
  await using bench = await withConfig('# nothing\n')
  expect((await bench.run(['image', 'list'])).exitCode).toBe(0)
  await chmod(bench.file, 0o666)
  const { exitCode, stderr } = await bench.run(['image', 'list'])
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('written by others'),
  })
  expect((await bench.run(['image', 'list'], { environment: { DISK_IMAGE_CONFIG: '' } })).exitCode).toBe(0)
  const elsewhere = await bench.run(['config', 'path'], { environment: { DISK_IMAGE_CONFIG: 'mine.yaml' } })
  expect(elsewhere.stderr).toContain(`There is no file ${bench.path('mine.yaml')}`)
})

test('a password is not taken from the command line, and not shown', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stderr } = await bench.run(['jobs', '--redis', 'redis://user:secret@host'])
  expect(exitCode).toBe(2)
  expect(stderr).toContain('Set DISK_IMAGE_JOBS_REDIS instead')
  expect(stderr).not.toContain('secret')
  const environment = { DISK_IMAGE_REDIS: 'redis://user:secret@host' }
  expect(await show(bench, 'worker --redis', environment)).toEqual([
    'redis://user:***@host',
    'environment',
    'DISK_IMAGE_REDIS',
  ])
})

test('no variable and no key means two options', () => {
  const io = {
    stdout: { write: () => undefined },
    stderr: { write: () => undefined },
    environment: {},
    workingDirectory: '/',
    signal: new AbortController().signal,
  }
  const program = buildProgram(
    io,
    { write: () => undefined, writeHelp: () => undefined, end: () => undefined },
    [],
  )
  const settings = allSettings(program)
  expect(settings.length).toBeGreaterThan(200)
  const own = settings.map((setting) => variablesOf(setting)[0])
  expect(new Set(own).size).toBe(own.length)
  // A group's variable (DISK_IMAGE_VHD_TO) is no other option's own.
  for (const setting of settings) {
    for (const shared of variablesOf(setting).slice(1)) {
      const other = settings.find((one) => variablesOf(one)[0] === shared)
      expect(other === undefined || other.key === setting.key, shared).toBe(true)
    }
  }
})

test.each([
  ['clod', 'cloud'],
  ['sise', 'size'],
  ['limit_rate', 'limit-rate'],
  ['x', undefined],
  ['k'.repeat(10_000), undefined],
])('the name nearest to %s is %s', (word, name) => {
  expect(nearest(word, ['cloud', 'size', 'limit-rate'])).toBe(name)
})
