import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { commandLine } from '../helpers/command.ts'

const run = promisify(execFile)
const MiB = 1024 ** 2
let folder: string
let disk: Buffer

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'disk-image-output-'))
  await writeFile(path.join(folder, 'disk.raw'), randomBytes(3 * MiB + 512))
  await truncate(path.join(folder, 'disk.raw'), 9 * MiB)
  disk = await readFile(path.join(folder, 'disk.raw'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Standard output as bytes, and what was said beside it. */
async function bytesOf(...argv: string[]): Promise<{ stdout: Buffer; stderr: string }> {
  const [file = '', ...rest] = commandLine(argv)
  const options = { cwd: folder, encoding: 'buffer' as const, maxBuffer: 64 * MiB }
  const { stdout, stderr } = await run(file, rest, options)
  return { stdout, stderr: stderr.toString() }
}

const qemuImg = (...args: string[]) => run(requireTool('qemu-img'), args, { cwd: folder })

test('a disk goes to standard output, whatever it was, and the report beside it', async () => {
  await qemuImg('convert', '-f', 'raw', '-O', 'vhdx', 'disk.raw', 'disk.vhdx')
  const converted = await bytesOf('convert', 'disk.vhdx', '-', '--from', 'vhdx', '--to', 'raw')
  expect(converted.stdout.equals(disk)).toBe(true)
  expect(converted.stderr).toContain('standard output: vhdx → raw')
  const fetched = await bytesOf('fetch', './disk.vhdx', '-', '--json', '--size', '16M')
  expect(fetched.stdout.length).toBe(16 * MiB)
  expect(fetched.stdout.subarray(0, disk.length).equals(disk)).toBe(true)
  expect(fetched.stdout.subarray(disk.length).every((byte) => byte === 0)).toBe(true)
  expect(fetched.stderr).toContain('"volume": "standard output"')
})

test.each([
  ['qcow2', []],
  ['qcow2', ['--compress', 'zstd']],
  ['vmdk', ['--subformat', 'streamOptimized']],
])('as %s %j, made from its start to its end', async (format, more) => {
  const { stdout } = await bytesOf('convert', 'disk.raw', '-', '--from', 'raw', '--to', format, ...more)
  await writeFile(path.join(folder, 'made'), stdout)
  await qemuImg('compare', '-f', 'raw', '-F', format, 'disk.raw', 'made')
  await qemuImg('check', '-f', format, 'made')
})

test.each<readonly [format: string, options: readonly string[], found: RegExp]>([
  ['qcow2', ['cluster-size=128K', 'version=2'], /cluster_size: 131072[^]*compat: 0\.10/],
  ['vmdk', ['adapter=pvscsi', 'hardware-version=13'], /virtualHWVersion = "13"/],
  ['vhdx', ['block-size=2M'], /cluster_size: 2097152/],
])('options of the format that is written: %s %j', async (format, options, found) => {
  const given = options.flatMap((option) => ['--option', option])
  await bytesOf('convert', 'disk.raw', 'made', '--from', 'raw', '--to', format, ...given)
  await qemuImg('compare', '-f', 'raw', '-F', format, 'disk.raw', 'made')
  const { stdout } = await run('qemu-img', ['info', '-f', format, 'made'], { cwd: folder })
  const head = (await readFile(path.join(folder, 'made'))).subarray(0, 65_536).toString('latin1')
  expect(stdout + head).toMatch(found)
})

test('disks go into an OVA, a file or standard output, and come out of it', async () => {
  const ova = [
    '--from',
    'raw',
    '--to',
    'ova',
    '--name',
    'm',
    '--firmware',
    'efi',
    '--property',
    'vmware_ostype=debian12_64Guest',
  ]
  const said = await bytesOf('convert', 'disk.raw', 'disk.raw', 'm.ova', ...ova)
  expect(said.stdout.toString()).toMatch(/disk2\.vmdk: .*raw → vmdk.*\n.*m\.ova: ova, /)
  const { stdout: descriptor } = await run('tar', ['-xOf', 'm.ova', 'm.ovf'], { cwd: folder })
  expect(descriptor).toMatch(/debian12_64Guest[^]*vmw:value="efi"/)
  const { stdout } = await bytesOf('convert', 'disk.raw', 'disk.raw', '-', ...ova)
  expect(stdout.equals(await readFile(path.join(folder, 'm.ova')))).toBe(true)
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'other.qcow2')
  const mixed = [
    'convert',
    'disk.raw',
    'other.qcow2',
    '-',
    '--from',
    'raw',
    '--from',
    'qcow2',
    ...ova.slice(2),
  ]
  const { stdout: same } = await bytesOf(...mixed)
  expect(same.equals(stdout)).toBe(true)
  await bytesOf('convert', 'm.ova', 'a.raw', 'b.raw', '--from', 'vmdk', '--to', 'raw')
  for (const name of ['a.raw', 'b.raw']) {
    expect((await readFile(path.join(folder, name))).equals(disk)).toBe(true)
  }
})

test('what only qemu-img writes goes through a temporary file, whatever the source was', async () => {
  await qemuImg('convert', '-f', 'raw', '-O', 'vmdk', 'disk.raw', 'disk.vmdk')
  for (const from of ['raw', 'vmdk']) {
    const { stdout } = await bytesOf('convert', `disk.${from}`, '-', '--from', from, '--to', 'qed')
    await writeFile(path.join(folder, 'made'), stdout)
    await qemuImg('compare', '-f', 'raw', '-F', 'qed', 'disk.raw', 'made')
    expect(await readdir(folder)).not.toContain('standard output')
  }
})

test('whoever reads it and goes, ends it with an error', async () => {
  const [file = '', ...rest] = commandLine(['convert', 'disk.raw', '-', '--from', 'raw', '--to', 'qcow2'])
  const child = spawn(file, rest, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  child.stdout.once('data', () => child.stdout.destroy())
  const exitCode = await new Promise((resolve) => child.on('close', resolve))
  expect(exitCode).not.toBe(0)
  expect(said).toContain('Whoever read standard output has gone')
})

test('the data of an image are saved as they are stored, into a file or on standard output', async () => {
  await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2')
  const stored = await readFile(path.join(folder, 'disk.qcow2'))
  const store = ['--store', 'store']
  await bytesOf('image', 'create', '--name', 'disk', '--file', 'disk.qcow2', ...store)
  const { stdout } = await bytesOf('image', 'save', 'disk', 'saved', ...store)
  expect(stdout.toString()).toContain('sha512 verified')
  expect((await readFile(path.join(folder, 'saved'))).equals(stored)).toBe(true)
  const piped = await bytesOf('image', 'save', 'disk', '-', ...store)
  expect(piped.stdout.equals(stored)).toBe(true)
  const wrong = bytesOf('image', 'save', 'disk', 'other', '--checksum', `sha256:${'0'.repeat(64)}`, ...store)
  await expect(wrong).rejects.toThrow('the checksum that was given is 000')
  expect(await readdir(folder)).not.toContain('other')
})
