import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { requireTool } from '@disk-image/testing'
import { commandLine } from '../helpers/command.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'
import { openTerminal } from '../helpers/tmux.ts'

const run = promisify(execFile)
const MiB = 1024 ** 2
const convert = ['convert', 'disk.raw', 'copy.raw', '--from', 'raw', '--to', 'raw']

async function withDisk(sizeBytes: number): Promise<Workbench> {
  const bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), randomBytes(sizeBytes))
  return bench
}

test('a bar fits its window, also when that changes; Ctrl-C ends all and leaves how far it came', async () => {
  await using bench = await withDisk(64 * MiB)
  const words = commandLine([...convert, '--limit-rate', '8M'])
  await using terminal = await openTerminal(words, { folder: bench.folder, columns: 90 })
  await expect
    .poll(() => terminal.shown(), { timeout: 20_000 })
    .toMatch(/^\w+ +█+░+ +\d+ % .* of 64 MiB .* left$/)
  await terminal.resize(40)
  await expect.poll(() => terminal.shown()).toMatch(/^(?:\w+ +)?█+░+ +\d+ %(?: +[\d.]+ s left)?$/)
  await terminal.resize(100)
  await expect.poll(() => terminal.shown()).toMatch(/^\w+ +█+░+ +\d+ % .* of 64 MiB .* left$/)
  await terminal.type('C-c')
  await expect.poll(() => terminal.shown(), { timeout: 3000 }).toContain('ended 130')
  const lines = (await terminal.shown()).split('\n')
  expect(lines[0]).toMatch(/█+░+ +\d+ %/)
  expect(lines[1]).toContain('Cancelled')
  expect(await readdir(bench.folder)).not.toContain('copy.raw')
})

test('a question at the terminal names what is there, and only a yes writes over it', async () => {
  await using bench = await withDisk(MiB)
  await run(requireTool('qemu-img'), ['create', '-f', 'qcow2', 'copy.raw', '10G'], { cwd: bench.folder })
  const before = await readFile(bench.path('copy.raw'))
  for (const [keys, exitCode] of [
    ['n', 2],
    ['y', 0],
  ] as const) {
    expect((await readFile(bench.path('copy.raw'))).equals(before)).toBe(true)
    await using terminal = await openTerminal(commandLine(convert), { folder: bench.folder, columns: 120 })
    await expect
      .poll(() => terminal.shown(), { timeout: 20_000 })
      .toMatch(/copy\.raw is not empty: qcow2, 10 GiB\. Write over it\? \[y\/N\]/)
    await terminal.type(keys, 'Enter')
    await expect.poll(() => terminal.shown(), { timeout: 10_000 }).toContain(`ended ${exitCode}`)
  }
  expect((await readFile(bench.path('copy.raw'))).equals(await readFile(bench.path('disk.raw')))).toBe(true)
})

test('progress and answer go through jq', async () => {
  await using bench = await withDisk(4 * MiB)
  const quoted = commandLine([...convert, '--json', '--progress', 'json', '--limit-rate', '4M'])
    .map((word) => `'${word}'`)
    .join(' ')
  const script = `${quoted} 2>progress | ${requireTool('jq')} -e .sizeBytes && jq -se 'last.stage == "done" and (map(.bytes) == (map(.bytes) | sort))' progress`
  const { stdout } = await run('sh', ['-c', script], { cwd: bench.folder })
  expect(stdout).toBe(`${4 * MiB}\ntrue\n`)
})

/** Without what the tests set. */
const careful = { environment: { DISK_IMAGE_FORCE: '' } }

test('without a terminal nothing is written over, but with --force', async () => {
  await using bench = await withDisk(MiB)
  // A file of holes has nothing to lose.
  await writeFile(bench.path('copy.raw'), '')
  await truncate(bench.path('copy.raw'), 2 * MiB)
  expect((await bench.run(convert, careful)).exitCode).toBe(0)
  const { exitCode, stderr, stdout } = await bench.run(convert, careful)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toMatch(/copy\.raw is not empty: 1 MiB\. To write over it, use --force\.\n$/)
  expect((await bench.run([...convert, '--force'], careful)).exitCode).toBe(0)
  expect((await bench.run([...convert, '--yes'], careful)).exitCode).toBe(0)
  const own = ['convert', 'disk.raw', 'disk.raw', '--from', 'raw', '--to', 'raw', '--force']
  expect((await bench.run(own, careful)).stderr).toContain('is the same file as')
  await writeFile(bench.path('list'), './disk.raw copy.raw\n./disk.raw new.raw\n')
  const list = await bench.run(['fetch', '--list', 'list'], careful)
  expect([list.exitCode, list.stderr]).toEqual([2, expect.stringContaining('copy.raw is not empty')])
  expect(await readdir(bench.folder)).not.toContain('new.raw')
})

test('of a VHD, too: it is replaced in one step, and never what it is made of', async () => {
  await using bench = await openWorkbench()
  const create = ['vhd', 'create', 'a.vhd', '4M']
  expect((await bench.run(create, careful)).exitCode).toBe(0)
  expect((await bench.run(create, careful)).stderr).toContain('a.vhd is not empty: vhd, 4 MiB')
  expect((await bench.run([...create.slice(0, 3), '8M', '--force'], careful)).stdout).toContain('8 MiB')
  const child = await bench.run(['vhd', 'create', 'a.vhd', '--parent', 'a.vhd', '--force'], careful)
  expect([child.exitCode, child.stderr]).toEqual([2, expect.stringContaining('is the same file as')])
  const flatten = ['vhd', 'flatten', 'flat.vhd', 'a.vhd', '--to', 'fixed']
  expect((await bench.run(flatten, careful)).exitCode).toBe(0)
  expect((await bench.run(flatten, careful)).exitCode).toBe(2)
  expect((await bench.run([...flatten, '--force'], careful)).exitCode).toBe(0)
  await run('ln', ['-s', 'flat.vhd', bench.path('link.vhd')])
  const link = await bench.run(['vhd', 'flatten', 'link.vhd', 'a.vhd', '--force'], careful)
  expect([link.exitCode, link.stderr]).toEqual([1, expect.stringContaining('exists already')])
})
