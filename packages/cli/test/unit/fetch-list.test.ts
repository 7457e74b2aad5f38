import { randomBytes } from 'node:crypto'
import { link, mkdir, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const data = randomBytes(1024 * 1024)

async function makeImages(bench: Workbench, count: number): Promise<string[]> {
  await writeFile(bench.path('disk.raw'), data)
  const ids: string[] = []
  for (let index = 0; index < count; index += 1) {
    const create = [
      'image',
      'create',
      '--name',
      'disk',
      '--disk-format',
      'raw',
      '--file',
      'disk.raw',
      '--quiet',
    ]
    ids.push((await bench.run(create)).stdout.trim())
  }
  return ids
}

interface Event {
  readonly event: string
  readonly line?: number
  readonly state?: string
  readonly shared?: boolean
  readonly volume?: string
  readonly error?: { readonly code: string; readonly message: string }
}

function events(stdout: string): Event[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Event)
}

test('a list is fetched, each line told, one image only once', async () => {
  await using bench = await openWorkbench()
  const [one = '', two = ''] = await makeImages(bench, 2)
  await writeFile(bench.path('list'), `# two\n${one} a.raw\r\n\n${two} b.raw size=1M # small\n${one} c.raw\n`)
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '--list', 'list'])
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^done +\S+ → \S+a\.raw +1 MiB +[\d.]+ s +sha512 verified$/m)
  expect(stdout).toMatch(/\n3 of 3 done, 2 MiB downloaded, 3 MiB written, /)
  expect(exitCode).toBe(0)
  for (const name of ['a.raw', 'b.raw', 'c.raw']) {
    expect((await readFile(bench.path(name))).equals(data)).toBe(true)
  }
  expect(await readdir(bench.path('conversion'))).toEqual([])
})

test('what is named as a list by mistake is not read to its end: a disk, an endless stream', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), '')
  await truncate(bench.path('disk'), 2 ** 40)
  const disk = await bench.run(['fetch', '--list', 'disk'])
  expect(disk.stderr).toMatch(/The list disk has more than 64 MiB: is it a list\?/)
  expect(disk.exitCode).toBe(2)
  for (const [text, most] of [
    ['x', '64 MiB'],
    ['\n', '1000000 lines'],
  ] as const) {
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(1024 * 1024, text)
      })(),
    )
    const stream = await bench.run(['fetch', '--list', '-'], { stdin: endless })
    expect(stream.stderr).toContain(`The list on standard input has more than ${most}`)
    expect(stream.exitCode).toBe(2)
  }
})

test('a list on standard input; with --json an object for each event', async () => {
  await using bench = await openWorkbench()
  const [id = ''] = await makeImages(bench, 1)
  const missing = '11111111-2222-4333-8444-555555555555'
  const list = [`${id} a.raw`, `${missing} b.raw`, JSON.stringify({ image: id, volume: 'with blanks' })]
  const stdin = Readable.from([Buffer.from(list.join('\n'))])
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '--list', '-', '--json', '--jobs', '1'], {
    stdin,
  })
  expect(stderr).toBe('')
  const told = events(stdout)
  expect(told.filter(({ event }) => event === 'begin').map(({ line }) => line)).toEqual([1, 3, 2])
  const ends = told.filter(({ event }) => event === 'end')
  expect(ends).toHaveLength(3)
  expect(ends.find(({ line }) => line === 1)).toMatchObject({
    state: 'done',
    shared: true,
    hash: { verified: true },
  })
  expect(ends.find(({ line }) => line === 2)).toMatchObject({
    state: 'failed',
    error: { code: 'IMAGE_NOT_FOUND' },
  })
  expect(ends.find(({ line }) => line === 3)?.volume).toBe(bench.path('with blanks'))
  expect(told.at(-1)).toMatchObject({ event: 'summary', total: 3, done: 2, failed: 1, cancelled: 0 })
  // Every failure is a missing image.
  expect(exitCode).toBe(4)
})

test('failures of different kinds end with 1; --stop-on-failure begins nothing more; --quiet tells failures', async () => {
  await using bench = await openWorkbench()
  const [id = ''] = await makeImages(bench, 1)
  const missing = '11111111-2222-4333-8444-555555555555'
  await writeFile(bench.path('list'), `${missing} a.raw\n${id} b.raw size=0.0001\n${id} c.raw\n`)
  const all = await bench.run(['fetch', '--list', 'list', '--quiet'])
  expect(all).toMatchObject({ exitCode: 1, stderr: '' })
  expect(all.stdout).toMatch(/^FAILED .*a\.raw/)
  expect(all.stdout).toContain('1 of 3 done, 2 failed')
  const first = await bench.run(['fetch', '--list', 'list', '--stop-on-failure', '--jobs', '1', '--force'])
  expect(first.stdout).toContain('0 of 3 done, 1 failed, 2 cancelled')
  expect(first.exitCode).toBe(4)
})

test('the whole list is checked before anything is fetched', async () => {
  await using bench = await openWorkbench()
  const [id = ''] = await makeImages(bench, 1)
  await writeFile(bench.path('there'), '')
  await link(bench.path('there'), bench.path('hard'))
  await mkdir(bench.path('folder'))
  await symlink('folder', bench.path('way'))
  const lines = [
    `${id} fine.raw`,
    id,
    `${id} nowhere/x`,
    `${id} /dev/no-such-node`,
    `${id} folder`,
    `${id} there`,
    `${id} ./hard`,
    `${id} folder/../fine.raw`,
    `${id} folder/new`,
    `${id} way/new`,
    `${id} luks.raw format=luks`,
    `${id} \u001b[2Jevil frob`,
    `${id} /dev/null`,
  ]
  await writeFile(bench.path('list'), lines.join('\n'))
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '--list', 'list'])
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  const told = stderr.split('\n')
  expect(told.map((line) => /^line (\d+):/.exec(line)?.[1]).filter(Boolean)).toEqual([
    '2',
    '3',
    '4',
    '5',
    '7',
    '8',
    '10',
    '11',
    '12',
    '13',
  ])
  expect(stderr).toContain('line 3: There is no folder to make')
  expect(stderr).toContain('line 7: ' + bench.path('hard') + ' is the destination of line 6, too.')
  expect(stderr).toContain('line 8: ' + bench.path('fine.raw') + ' is the destination of line 1, too.')
  expect(stderr).not.toContain('\u001b')
  expect(await readdir(bench.folder)).not.toContain('fine.raw')
  const json = await bench.json<{ error: { code: string } }>(['fetch', '--list', 'list'])
  expect(json).toMatchObject({ exitCode: 2, error: { code: 'USAGE' } })
})

test('a hundred thousand lines, and far too many mistakes', async () => {
  await using bench = await openWorkbench()
  const line = (index: number): string => `11111111-2222-4333-8444-555555555555 volume-${index}.raw frob\n`
  await writeFile(bench.path('list'), Array.from({ length: 100_000 }, (_, index) => line(index)).join(''))
  const { exitCode, stderr } = await bench.run(['fetch', '--list', 'list'])
  expect(exitCode).toBe(2)
  expect(stderr.split('\n').length).toBeLessThan(30)
  expect(stderr).toContain('and 99980 more')
})

test('garbage is refused in a few lines', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('list'), randomBytes(1024 * 1024))
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '--list', 'list'])
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr.length).toBeLessThan(10_000)
  await writeFile(bench.path('list'), '# nothing\n')
  expect((await bench.run(['fetch', '--list', 'list'])).stderr).toContain('has no image in it')
  expect((await bench.run(['fetch', '--list', 'nowhere'])).exitCode).toBe(1)
})

test('--dry-run plans each line and writes nothing', async () => {
  await using bench = await openWorkbench()
  const [id = ''] = await makeImages(bench, 1)
  await writeFile(bench.path('list'), `${id} a.raw\n11111111-2222-4333-8444-555555555555 b.raw\n`)
  const { exitCode, stdout } = await bench.run(['fetch', '--list', 'list', '--dry-run'])
  expect(exitCode).toBe(4)
  expect(stdout).toMatch(/^fine .*a\.raw {2}\w+, 0 B temporary\nFAILED .*\n1 of 2 can be fetched/)
  const json = await bench.run(['fetch', '--list', 'list', '--dry-run', '--json'])
  expect(events(json.stdout).map(({ event, line }) => [event, line])).toEqual([
    ['plan', 1],
    ['plan', 2],
  ])
  expect(await readdir(bench.folder)).not.toContain('a.raw')
})

test.each([
  [['fetch'], 'Give IMAGE and DEST, or --list FILE.'],
  [['fetch', 'id'], 'Give IMAGE and DEST, or --list FILE.'],
  [['fetch', 'id', 'dest', '--list', 'x'], '--list says what is fetched'],
  [['fetch', 'id', 'dest', '--jobs', '2'], '--jobs goes with --list.'],
  [['fetch', 'id', 'dest', '--stop-on-failure'], '--stop-on-failure goes with --list.'],
  [['fetch', '--list', 'x', '--byte-budget', '0'], '--byte-budget must be a size such as 512M'],
  [['fetch', '--list', 'x', '--byte-budget', '1e9'], '--byte-budget must be a size such as 512M'],
  [['fetch', '--list', 'x', '--jobs', '0'], '--jobs must be a whole number, 1 or more'],
])('%j is wrong usage', async (argv, message) => {
  await using bench = await openWorkbench()
  const { exitCode, stderr } = await bench.run(argv)
  expect(stderr).toContain(message)
  expect(exitCode).toBe(2)
})
