import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
let folder: string
let qemuImg: string

/** Runs the file, which stands alone in its folder, in an environment that tells nothing of this repository. */
async function alone(...words: string[]): Promise<string> {
  const env = { HOME: path.join(folder, 'home'), PATH: '/usr/bin:/bin' }
  const { stdout } = await run(process.execPath, ['disk-image.mjs', ...words], { cwd: folder, env })
  return stdout
}

async function expectSame(name: string, format: string): Promise<void> {
  const words = ['compare', '-f', 'raw', '-F', format, 'source.raw', name]
  expect((await run(qemuImg, words, { cwd: folder })).stdout).toContain('Images are identical.')
}

beforeAll(async () => {
  qemuImg = requireTool('qemu-img', 'qemu-utils')
  const built = await mkdtemp(path.join(tmpdir(), 'single-build-'))
  folder = await mkdtemp(path.join(tmpdir(), 'single-'))
  await mkdir(path.join(folder, 'home'), { mode: 0o700 })
  const file = path.join(built, 'disk-image.mjs')
  await run(process.execPath, [path.join(import.meta.dirname, '../single-file.ts'), file])
  await copyFile(file, path.join(folder, 'disk-image.mjs'))
  await rm(built, { recursive: true })
  const source = Buffer.alloc(16 * 1024 ** 2)
  for (let at = 0; at < 6 * 1024 ** 2; at += 4) source.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 8, at)
  await writeFile(path.join(folder, 'source.raw'), source)
  await writeFile(path.join(folder, 'passphrase'), 'correct horse')
  await run(qemuImg, ['convert', '-c', '-O', 'qcow2', 'source.raw', 'packed.qcow2'], { cwd: folder })
})

afterAll(() => rm(folder, { recursive: true }))

test('one file, alone in a folder, is the whole command', async () => {
  const { version } = JSON.parse(
    await readFile(path.join(import.meta.dirname, '../../../packages/cli/package.json'), 'utf8'),
  ) as { version: string }
  expect(await alone('--version')).toBe(`${version}\n`)
  expect(await alone('doctor', '--conversion-dir', folder)).toMatch(/^ok +Node\.js /m)
  expect(await alone('inspect', 'packed.qcow2')).toContain('Verdict  safe')
  await alone('fetch', './packed.qcow2', 'fetched.raw')
  await expectSame('fetched.raw', 'raw')
  await alone(
    'convert',
    'packed.qcow2',
    'zlib.qcow2',
    '--from',
    'qcow2',
    '--to',
    'qcow2',
    '--compress',
    'zlib',
  )
  await expectSame('zlib.qcow2', 'qcow2')
  const stream = ['--to', 'vmdk', '--subformat', 'streamOptimized']
  await alone('convert', 'packed.qcow2', 'stream.vmdk', '--from', 'qcow2', ...stream)
  await expectSame('stream.vmdk', 'vmdk')
  const key = ['--passphrase-file', 'passphrase']
  await alone('convert', 'packed.qcow2', 'disk.luks', '--from', 'qcow2', '--to', 'luks', ...key)
  const open = ['--source-passphrase-file', 'passphrase', '--decrypt']
  await alone('convert', 'disk.luks', 'opened.raw', '--from', 'luks', '--to', 'raw', ...open)
  await expectSame('opened.raw', 'raw')
  await alone('convert', 'packed.qcow2', 'machine.ova', '--from', 'qcow2', '--to', 'ova')
  await alone('fetch', './machine.ova', 'from-ova.raw')
  await expectSame('from-ova.raw', 'raw')
})

/** The least processor time of a few runs, in milliseconds. */
async function processorMs(...words: string[]): Promise<number> {
  const script = 'TIMEFORMAT="%U %S"; time "$@" >/dev/null'
  const times: number[] = []
  for (let turn = 0; turn < 5; turn += 1) {
    const env = { HOME: path.join(folder, 'home'), PATH: '/usr/bin:/bin' }
    const { stderr } = await run('bash', ['-c', script, '-', process.execPath, ...words], {
      cwd: folder,
      env,
    })
    const [user = 0, system = 0] = stderr.split(' ').map(Number)
    times.push((user + system) * 1000)
  }
  return Math.min(...times)
}

test('it begins fast: --version and inspect take a few times what Node.js takes for nothing', async () => {
  const nothing = await processorMs('-e', '0')
  expect((await processorMs('disk-image.mjs', '--version')) / nothing).toBeLessThan(3)
  expect((await processorMs('disk-image.mjs', 'inspect', 'packed.qcow2')) / nothing).toBeLessThan(5)
})

test('it has the parts that are installed beside the command otherwise', async () => {
  // A queue that nobody keeps: the package of the fleet was found, and asked.
  const asked = alone('jobs', '--redis', 'redis://127.0.0.1:1', '--retries', '0')
  await expect(asked).rejects.toThrow(/REFUSED|refused|Redis/)
})
