import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { commandLine } from '../helpers/command.ts'
import { openWorkbench } from '../helpers/run-command.ts'

const data = randomBytes(3_000_000)
const shell = promisify(execFile)

async function* inPieces(): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < data.length; offset += 70_001) yield data.subarray(offset, offset + 70_001)
}

/** Every command that reads a file, with the file's name. */
const commands: readonly ((name: string) => string[])[] = [
  (name) => ['inspect', name],
  (name) => ['inspect', name, '--as', 'raw', '--record', 'case'],
  (name) => ['convert', name, 'out', '--from', 'raw', '--to', 'qcow2'],
  (name) => ['convert', name, 'out', '--from', 'vhd', '--to', 'raw'],
  (name) => ['upload', name, '--name', 'x', '--store', 'store'],
  (name) => ['upload', name, '--name', 'x', '--volume-format', 'qcow2', '--store', 'store'],
  (name) => ['image', 'create', '--name', 'x', '--disk-format', 'raw', '--file', name, '--store', 'store'],
  (name) => ['fetch', '--list', name, '--store', 'store'],
  (name) => ['vhd', 'info', name],
  (name) => ['vhd', 'check', name],
  (name) => ['vhd', 'repair', name],
  (name) => ['vhd', 'resize', name, '10'],
  (name) => ['vhd', 'flatten', 'out', name],
  (name) => ['vhd', 'coalesce', name, name],
  (name) => ['vhd', 'create', 'out', '--parent', name],
  (name) => ['vhd', 'reparent', name, name],
]

test.each(['pipe', 'folder', 'link', '/dev/null'])('%s is refused at once by every command', async (name) => {
  await using bench = await openWorkbench()
  await shell('mkfifo', [bench.path('pipe')])
  await mkdir(bench.path('folder'))
  await symlink('pipe', bench.path('link'))
  for (const command of commands) {
    const { exitCode, stderr } = await bench.run(command(name))
    expect([command(name).join(' '), exitCode === 0, stderr.includes(name)]).toEqual([
      command(name).join(' '),
      false,
      true,
    ])
  }
  expect(await readdir(bench.folder)).not.toContain('out')
  expect(await readdir(bench.path('store')).catch(() => [])).toEqual([])
})

test('what needs a file says so of standard input', async () => {
  await using bench = await openWorkbench()
  const streams = new Set(['image', 'fetch', 'convert', 'upload'])
  for (const command of commands) {
    const argv = command('-')
    if (streams.has(argv[0] ?? '') || argv.length === 2) continue
    expect([argv.join(' '), (await bench.run(argv)).stderr]).toEqual([
      argv.join(' '),
      expect.stringContaining('Standard input can only be read once'),
    ])
  }
})

test.each(['-', '/dev/stdin'])('image create takes standard input as %s, whole', async (name) => {
  await using bench = await openWorkbench()
  const argv = ['image', 'create', '--name', 'x', '--disk-format', 'raw', '--file', name, '--store', 'store']
  const { exitCode, stdout } = await bench.run(argv, { stdin: inPieces() })
  expect(exitCode).toBe(0)
  const stored = await readFile(bench.path(`store/${stdout.trim()}.data`))
  expect(stored.equals(data)).toBe(true)
  expect(await readdir(bench.path('conversion')).catch(() => [])).toEqual([])
})

test('image create takes what a shell hands over as <(…), whole, also slowly', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  const argv = commandLine(['--conversion-dir', bench.path('conversion'), '--store', bench.path('store')])
  const script = `"$@" image create --name x --disk-format raw --file <(head -c 1000000 "$0"; sleep 0.3; tail -c +1000001 "$0") -q`
  const { stdout } = await shell('bash', ['-c', script, bench.path('disk'), ...argv])
  const stored = await readFile(bench.path(`store/${stdout.trim()}.data`))
  const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  expect(hash(stored)).toBe(hash(data))
  expect(await readdir(bench.path('conversion')).catch(() => [])).toEqual([])
})

test('a stream that breaks makes no image and leaves nothing', async () => {
  await using bench = await openWorkbench()
  const argv = ['image', 'create', '--name', 'x', '--disk-format', 'raw', '--file', '-', '--store', 'store']
  const stdin = (async function* () {
    yield data
    throw new Error('the pipe broke')
  })()
  expect((await bench.run(argv, { stdin })).exitCode).toBe(1)
  expect(await readdir(bench.path('store')).catch(() => [])).toEqual([])
  expect(await readdir(bench.path('conversion')).catch(() => [])).toEqual([])
})

test('--timeout and --retries reach every client', async () => {
  await using bench = await openWorkbench()
  let connections = 0
  // It takes a connection, and never says a word.
  const server = createServer(() => (connections += 1)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const words = ['--timeout', '300ms', '--retries', '0']
    const startedMs = performance.now()
    const fetched = await bench.run(['fetch', `${url}/disk.raw`, 'out.raw', ...words])
    const listed = await bench.run(['image', 'list', '--glance', url, ...words])
    expect([fetched.exitCode, listed.exitCode]).toEqual([1, 1])
    // By default it would have waited for minutes.
    expect(performance.now() - startedMs).toBeLessThan(10_000)
    expect(connections).toBeLessThan(5)
  } finally {
    server.close()
  }
  const wrong = await bench.run(['image', 'list', '--timeout', '0s'])
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    2,
    expect.stringContaining('--timeout must be a time such as 30s'),
  ])
})
