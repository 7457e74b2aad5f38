import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { requireTool, type RunningGlance, startGlance } from '@disk-image/testing'
import { commandLine, runCommand, startCommand } from '../helpers/command.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'
import { Screen } from '../helpers/screen.ts'
import { startSlowProxy } from '../helpers/slow-proxy.ts'

const MiB = 1024 * 1024
const data = randomBytes(3 * MiB)
let glance: RunningGlance
let ids: string[]

beforeAll(async () => {
  requireTool('script', 'bsdutils')
  glance = await startGlance()
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), data)
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
  ids = []
  for (let index = 0; index < 4; index += 1) {
    ids.push((await bench.run([...create, '--glance', glance.url])).stdout.trim())
  }
})

afterAll(async () => {
  await glance.stop()
})

async function writeList(bench: Workbench, more = ''): Promise<string[]> {
  const names = ids.map((_, index) => `volume-${index}.raw`)
  const lines = ids.map((id, index) => `${id} ${names[index]} ${more}\n`)
  await writeFile(bench.path('list'), lines.join(''))
  return names
}

/** The command on a terminal of its own, at which one can type. */
function onTerminal(
  bench: Workbench,
  argv: readonly string[],
  size: { readonly columns: number; readonly rows: number },
): { type(text: string): void; shown(): string; ended: Promise<number | null> } {
  const words = commandLine(argv).map((word) => `'${word}'`)
  const script = `stty cols ${size.columns} rows ${size.rows} && exec ${words.join(' ')}`
  const child = spawn('script', ['-qec', script, '/dev/null'], {
    cwd: bench.folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: bench.folder,
      TERM: 'xterm',
      NO_COLOR: '1',
      SHELL: '/bin/sh',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  return {
    type: (keys) => child.stdin.write(keys),
    shown: () => text,
    ended: new Promise((resolve) => {
      child.on('close', (exitCode) => resolve(exitCode))
    }),
  }
}

test('on a narrow terminal: a line for each that runs, and afterwards what became of it', async () => {
  await using bench = await openWorkbench()
  const names = await writeList(bench)
  await using proxy = await startSlowProxy(glance.url, { dripEveryMs: 1 })
  const argv = ['fetch', '--list', 'list', '--jobs', '3', '--glance', proxy.url]
  const terminal = onTerminal(bench, argv, { columns: 44, rows: 8 })
  expect(await terminal.ended).toBe(0)
  const shown = terminal.shown()
  const screen = new Screen(44)
  screen.write(shown)
  expect(shown).toMatch(/\u2026\S*volume-0\.raw {2,}\d+ % {2}download/)
  expect(shown).toMatch(/\d of 4 /)
  const done = screen.lines.filter((line) => line.startsWith('done '))
  expect(done).toHaveLength(4)
  expect(screen.lines.join('\n')).not.toContain('%')
  expect(screen.lines.join('\n')).toContain('4 of 4 done')
  for (const name of names) expect((await readFile(bench.path(name))).equals(data)).toBe(true)
})

test('Ctrl-C at the terminal cancels all, within a second, and leaves nothing', async () => {
  await using bench = await openWorkbench()
  const names = await writeList(bench, 'verify-before-write=true')
  await using proxy = await startSlowProxy(glance.url)
  const argv = [
    'fetch',
    '--list',
    'list',
    '--jobs',
    '3',
    '--glance',
    proxy.url,
    '--conversion-dir',
    'conversion',
  ]
  const terminal = onTerminal(bench, argv, { columns: 100, rows: 24 })
  await expect
    .poll(() => readdir(bench.path('conversion')).catch(() => []), { timeout: 20_000 })
    .toHaveLength(3)
  await proxy.dripping
  const startedMs = performance.now()
  terminal.type('\u0003')
  expect(await terminal.ended).toBe(130)
  expect(performance.now() - startedMs).toBeLessThan(1500)
  expect(terminal.shown()).toContain('0 of 4 done, 4 cancelled')
  expect(await readdir(bench.path('conversion'))).toEqual([])
  expect((await readdir(bench.folder)).filter((name) => names.includes(name))).toEqual([])
})

test('SIGTERM with --json: what was done is told, the rest is counted', async () => {
  await using bench = await openWorkbench()
  const names = await writeList(bench)
  await using proxy = await startSlowProxy(glance.url)
  const { child, ended } = startCommand(
    ['fetch', '--list', 'list', '--jobs', '2', '--json', '--glance', proxy.url],
    { cwd: bench.folder },
  )
  await proxy.dripping
  child.kill('SIGTERM')
  const { exitCode, stdout } = await ended
  const told = stdout.trimEnd().split('\n')
  expect(exitCode).toBe(130)
  expect(JSON.parse(told.at(-1) ?? '')).toMatchObject({ event: 'summary', done: 0, failed: 0, cancelled: 4 })
  expect((await readdir(bench.folder)).filter((name) => names.includes(name))).toEqual([])
})

test('a Glance that has lost one image and spoilt another: the others arrive', async () => {
  await using bench = await openWorkbench()
  const names = await writeList(bench)
  const server = createServer((incoming, outgoing) => {
    const { url = '/', method, headers } = incoming
    const which = url.endsWith('/file') ? ids.indexOf(url.split('/').at(-2) ?? '') : -1
    const onward = request(new URL(url, glance.url), { method, headers }, (answer) => {
      outgoing.writeHead(which === 1 ? 404 : (answer.statusCode ?? 502), answer.headers)
      answer.on('data', (bytes: Buffer) => outgoing.write(which === 3 ? bytes.map((byte) => ~byte) : bytes))
      answer.on('end', () => outgoing.end())
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const argv = ['fetch', '--list', 'list', '--glance', url, '--jobs', '4', '--json']
    const { exitCode, stdout } = await runCommand(argv, { cwd: bench.folder })
    expect(exitCode).toBe(1)
    const told = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { line?: number; state?: string; error?: { code: string } })
    const failed = told.filter(({ state }) => state === 'failed')
    expect(new Map(failed.map(({ line, error }) => [line, error?.code]))).toEqual(
      new Map([
        [2, 'IMAGE_NOT_FOUND'],
        [4, 'IMAGE_DOWNLOAD_FAILED'],
      ]),
    )
    expect((await readdir(bench.folder)).filter((name) => names.includes(name)).toSorted()).toEqual([
      'volume-0.raw',
      'volume-2.raw',
    ])
    expect((await readFile(bench.path('volume-2.raw'))).equals(data)).toBe(true)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('a hundred thousand lines are checked in bounded memory', async () => {
  await using bench = await openWorkbench()
  const lines = Array.from({ length: 99_999 }, (_, index) => `${ids[0]} volume-${index}.raw size=20\n`)
  // The last line is wrong, so that all of them are read, and nothing is fetched.
  await writeFile(bench.path('list'), `${lines.join('')}${ids[0]} volume-7.raw\n`)
  const { exitCode, stderr } = await runCommand(['fetch', '--list', 'list', '--glance', glance.url], {
    cwd: bench.folder,
    environment: { NODE_OPTIONS: '--max-old-space-size=256' },
  })
  expect(stderr).toMatch(/line 100000: .*volume-7\.raw is the destination of line 8, too/)
  expect(exitCode).toBe(2)
})
