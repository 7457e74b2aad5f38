import { expect, test } from 'vitest'
import { openWorkbench } from '../helpers/run-command.ts'

test.each([
  [['frobnicate'], "Unknown command 'frobnicate'"],
  [['inspect'], "Missing required argument 'file'"],
  [['inspect', 'a', 'b', '--record', 'case'], '--record is for one file'],
  ...[
    '-1',
    '1e9',
    '0',
    '0G',
    '0.0',
    '+1',
    ' 1',
    '1 G',
    '1GG',
    '1X',
    '10Gi',
    'G',
    '',
    'NaN',
    'Infinity',
    '0x10',
    '٣',
  ].map((size): [string[], string] => [
    ['fetch', 'id', 'dest', `--size=${size}`],
    '--size must be a size such as',
  ]),
  [['fetch', 'id', 'dest', '--size', '9999999999999999'], '--size must be smaller than 8 PiB'],
  [['fetch', 'id', 'dest', '--size', '9P'], '--size must be smaller than 8 PiB'],
  [['submit', 'fetch', 'id', '/dest', '--size', '0'], '--size must be a size such as'],
  [['worker', '--folder', '/v', '--cache-size', '-5'], '--cache-size must be a size such as'],
  [['fetch', '--list', 'l', '--byte-budget', '1e3'], '--byte-budget must be a size such as'],
  [['image', 'create', '--name', 'a', '--min-disk', '1.5G'], '--min-disk must be a whole number of GiB'],
  [['vhd', 'create', 'a.vhd', '1500K'], 'The size must be a whole number of MiB'],
  [['fetch', './id', '-', '--dry-run'], '--dry-run is for a file or block device'],
  [['fetch', './a.ova', 'one', '-'], 'Several disks are not written to standard output'],
  [['upload', '-', '--name', 'a', '--compress', 'zlib'], 'uploaded as it is: no compression'],
  [['fetch', 'ftp://host/disk', 'dest'], 'No source has the scheme ftp:'],
  [['fetch', '-', 'dest', '--checksum', 'sha256'], '--checksum must be ALGORITHM:HEX'],
  [['fetch', 'id', 'dest', '--connections', '0'], '--connections must be a whole number, 1 or more'],
  [['fetch', 'id', 'dest', '--format', '../raw'], '--format must be the name of a format'],
  [
    ['fetch', 'id', 'dest', '--format', 'frob'],
    'which is no format that can be written; there are: raw, iso',
  ],
  [['upload', 'volume', '--name', 'a', '--volume-format', 'frob'], 'which is no format that can be read'],
  [['upload', 'volume', '--name', 'a', '--disk-format', 'frob'], 'which is no format that can be uploaded'],
  [['convert', 'a', 'b', '--from', 'frob', '--to', 'raw'], 'which is no format that can be read'],
  [['convert', 'a', 'b', '--from', 'raw', '--to', 'raw', '--firmware', 'efi'], '--firmware is for --to ova'],
  [
    ['convert', 'a', 'b', '--from', 'raw', '--from', 'raw', '--to', 'raw'],
    '--from is repeated for --to ova only',
  ],
  [
    ['convert', 'a', 'b', 'c', 'd', '--from', 'raw', '--from', 'raw', '--to', 'ova'],
    'Give one --from for all 3',
  ],
  [['convert', 'a', 'b', '--from', 'raw', '--to', 'ova', '--disable-sparse'], '--disable-sparse is not for'],
  [['convert', 'a', 'https://a/b', 'c', '--from', 'raw', '--to', 'ova'], 'https://a/b is no file'],
  [['fetch', 'id', 'dest', '--sandbox', 'perhaps'], 'Allowed choices are auto, require, off'],
  [['image', 'create'], "Required option '--name <name>' not specified"],
  [['image', 'create', '--name', 'a', '--property', 'novalue'], '--property must be KEY=VALUE'],
  [['image', 'lst'], "Unknown command 'lst'"],
  [['vhd', 'coalesce', 'one'], "Missing required argument 'others'"],
  [['vhd', 'resize', 'a.vhd', 'big'], 'The size must be a size such as'],
  [['vhd', 'resize', 'a.vhd', '99999999'], 'A VHD has at most'],
  [['image', 'list', '--glance', 'ftp://host'], '--glance needs a URL'],
  [['image', 'list', '--glance', 'http://user:secret@host'], '--glance takes no user name or password'],
])('%j is wrong usage', async (argv, message) => {
  await using bench = await openWorkbench()
  const { exitCode, stdout, stderr } = await bench.run(argv)
  expect(stderr).toContain(message)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).not.toContain('secret')
})

test('a missing command shows what there is, on standard error', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stdout, stderr } = await bench.run([])
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toContain('Usage: disk-image')
})

test('help is asked for and goes to standard output', async () => {
  await using bench = await openWorkbench()
  const help = await bench.run(['--help'])
  expect(help).toMatchObject({ exitCode: 0, stderr: '' })
  for (const command of ['inspect', 'fetch', 'upload', 'convert', 'image', 'vhd', 'doctor', 'clean']) {
    expect(help.stdout).toContain(`  ${command}`)
  }
  for (const command of [
    ['fetch'],
    ['upload'],
    ['convert'],
    ['inspect'],
    ['clean'],
    ['doctor'],
    ['verify'],
    ['compare'],
    ['vhd', 'flatten'],
  ]) {
    const { exitCode, stdout } = await bench.run([...command, '--help'])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('Examples:')
    expect(stdout).toMatch(/Options of every command: disk-image help options\n$/)
    expect(stdout).not.toContain('--store <dir>')
  }
})

test('help options has the options of every command', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stdout } = await bench.run(['help', 'options'])
  expect(exitCode).toBe(0)
  for (const option of ['--store <dir>', '--json', '--force', '--retries <n>', '--sandbox <mode>']) {
    expect(stdout).toContain(`  ${option}`)
  }
})

test('help lists every command, whatever else is named', async () => {
  await using bench = await openWorkbench()
  const all = await bench.run(['--help'])
  expect((await bench.run(['--help', 'fetch'])).stdout).toBe(all.stdout)
  expect((await bench.run(['-h', 'vhd'])).stdout).toBe(all.stdout)
  expect((await bench.run(['help', 'fetch'])).stdout).toBe((await bench.run(['fetch', '--help'])).stdout)
})

test('an operand or a value may be named like a command', async () => {
  await using bench = await openWorkbench()
  const inspected = await bench.run(['inspect', 'fetch'])
  expect(inspected.stderr).toMatch(/There is no file .*fetch/)
  expect(inspected.exitCode).toBe(1)
  const fetched = await bench.run(['--store', 'inspect', 'fetch', 'a', 'b'])
  expect(fetched.stderr).toContain('Image a could not be found')
  expect(fetched.exitCode).toBe(4)
})

test('the version is the package’s', async () => {
  await using bench = await openWorkbench()
  const { stdout } = await bench.run(['--version'])
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(await bench.json(['--version'])).toEqual({ exitCode: 0, version: stdout.trim() })
})

test('wrong usage is JSON with --json', async () => {
  await using bench = await openWorkbench()
  const { exitCode, error } = await bench.json<{ error: { code: string; message: string } }>(['frobnicate'])
  expect({ exitCode, error }).toEqual({
    exitCode: 2,
    error: { code: 'USAGE', message: "Unknown command 'frobnicate'." },
  })
  expect(await bench.json(['image'])).toMatchObject({ exitCode: 2, error: { code: 'USAGE' } })
})

test('--json behind -- is an operand', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stdout, stderr } = await bench.run(['image', 'show', '--', '--json'])
  // The workbench adds its conversion folder, which is an operand too many here.
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toContain('Too many arguments')
})
