import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ImageRecord } from '@disk-image/core'
import { requireTool, type RunningGlance, startGlance } from '@disk-image/testing'
import { startCommand } from '../helpers/command.ts'
import { openWorkbench, type Outcome, type Workbench } from '../helpers/run-command.ts'
import { startSlowProxy } from '../helpers/slow-proxy.ts'

let glance: RunningGlance

beforeAll(async () => {
  glance = await startGlance({ stores: 'multi' })
})

afterAll(async () => {
  await glance.stop()
})

function run(folder: Workbench, argv: readonly string[], url: string = glance.url): Promise<Outcome> {
  return folder.run([...argv, '--glance', url])
}

async function json<T>(folder: Workbench, argv: readonly string[]): Promise<T & { exitCode: number }> {
  const { exitCode, stdout, stderr } = await run(folder, [...argv, '--json'])
  expect(stderr).toBe('')
  // Throws for anything but exactly one JSON value.
  return { ...(JSON.parse(stdout) as T), exitCode }
}

async function makeImage(folder: Workbench, data: Uint8Array): Promise<string> {
  await writeFile(folder.path('disk.raw'), data)
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
  const { exitCode, stdout, stderr } = await run(folder, create)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.trim()
}

test('an image lives its whole life in a Glance', async () => {
  await using folder = await openWorkbench()
  const data = randomBytes(5 * 1024 * 1024)
  const id = await makeImage(folder, data)
  const { images } = await json<{ images: ImageRecord[] }>(folder, ['image', 'list', '--name', 'disk'])
  expect(images.map((image) => image.id)).toContain(id)
  expect(await json<ImageRecord>(folder, ['image', 'show', id])).toMatchObject({
    exitCode: 0,
    status: 'active',
  })
  const report = await json(folder, ['fetch', id, 'volume.raw'])
  expect(report).toMatchObject({
    exitCode: 0,
    bytesDownloaded: data.length,
    hash: { algorithm: 'sha512', verified: true },
  })
  expect((await readFile(folder.path('volume.raw'))).equals(data)).toBe(true)
  expect(await json(folder, ['image', 'delete', id])).toEqual({ exitCode: 0, deleted: [id] })
  const gone = await json<{ error: { code: string } }>(folder, ['fetch', id, 'volume.raw'])
  expect(gone).toMatchObject({ exitCode: 4, error: { code: 'IMAGE_NOT_FOUND' } })
})

test('single properties and stores of a Glance are named on the command line', async () => {
  await using folder = await openWorkbench()
  const data = randomBytes(1024 * 1024)
  const id = await makeImage(folder, data)
  const set = ['image', 'set', id, '--property', 'os_distro=debian', '--property', 'own=1']
  expect((await json<ImageRecord>(folder, set)).properties).toMatchObject({ os_distro: 'debian', own: '1' })
  const unset = ['image', 'unset', id, '--property', 'own']
  const { properties } = await json<ImageRecord>(folder, unset)
  expect(properties['os_distro']).toBe('debian')
  expect(properties).not.toHaveProperty('own')
  expect(await json(folder, unset)).toMatchObject({ exitCode: 1, error: { code: 'INVALID' } })
  expect((await run(folder, ['image', 'set', id, '--property', 'status=queued'])).exitCode).toBe(2)
  // An older Glance takes no notice of the preference.
  const fetch = ['fetch', id, 'volume.raw', '--prefer-store', 'slow', '--prefer-store', 'fast']
  expect(await json(folder, fetch)).toMatchObject({ exitCode: 0, hash: { verified: true }, warnings: [] })
  const wrong = ['image', 'create', '--name', 'x', '--disk-format', 'raw', '--container-format', 'tar']
  const { exitCode, stderr } = await run(folder, wrong)
  expect(exitCode).toBe(1)
  expect(stderr).toContain('container_format is "tar"; it must be one of: ami, ari')
})

test('a fetch ends by itself, as process.exit() may wait for V8 for ever', async () => {
  await using folder = await openWorkbench()
  const id = await makeImage(folder, randomBytes(1024 * 1024))
  const forbidden = 'process.exit=()=>process.reallyExit(97)'
  const { exitCode, stderr } = await startCommand(['fetch', id, 'volume.raw', '--glance', glance.url], {
    cwd: folder.folder,
    environment: { NODE_OPTIONS: `--import=data:text/javascript,${forbidden}` },
  }).ended
  expect(exitCode, stderr).toBe(0)
})

test('a volume is uploaded into the store that is named', async () => {
  await using folder = await openWorkbench()
  const data = randomBytes(1024 * 1024)
  await writeFile(folder.path('volume.raw'), data)
  const upload = ['upload', 'volume.raw', '--name', 'volume', '--property', 'os_type=linux']
  for (const flag of ['--store', '--store-id']) {
    const { exitCode, stdout } = await run(folder, [...upload, flag, 'slow'])
    expect(exitCode).toBe(0)
    const image = await json<ImageRecord>(folder, ['image', 'show', stdout.trim()])
    expect(image).toMatchObject({ size: data.length, stores: 'slow', properties: { os_type: 'linux' } })
  }
  const unknown = await run(folder, [...upload, '--store', 'nowhere'])
  expect(unknown.exitCode).not.toBe(0)
  expect(unknown.stdout).toBe('')
  const { images } = await json<{ images: ImageRecord[] }>(folder, ['image', 'list', '--status', 'queued'])
  expect(images).toEqual([])
})

test('the stores are listed, with the one that can’t be written', async () => {
  await using folder = await openWorkbench()
  const { stdout, exitCode } = await run(folder, ['image', 'stores'])
  expect(exitCode).toBe(0)
  expect(stdout).toMatch(/^fast .*default$/m)
  expect(stdout).toMatch(/^web .*read-only$/m)
  const { stores } = await json<{ stores: { id: string }[] }>(folder, ['image', 'stores'])
  expect(stores.map(({ id }) => id).sort()).toEqual(['fast', 'slow', 'web'])
})

test('an image that names another file is refused with 3', async () => {
  await using folder = await openWorkbench()
  const evil = folder.path('evil.qcow2')
  const qemuImg = requireTool('qemu-img')
  execFileSync(qemuImg, ['create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', evil, '64M'])
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
  expect(await json(folder, ['fetch', id, 'volume.raw'])).toMatchObject({
    exitCode: 3,
    error: { code: 'IMAGE_UNACCEPTABLE', rule: 'qcow2-backing-file', found: '/etc/passwd' },
  })
  expect(await json(folder, ['fetch', id, 'volume.raw', '--dry-run'])).toMatchObject({ exitCode: 3 })
  expect(await readdir(folder.folder)).not.toContain('volume.raw')
  expect(await readdir(folder.path('conversion')).catch(() => [])).toEqual([])
})

test('an image without data can’t be fetched', async () => {
  await using folder = await openWorkbench()
  const create = ['image', 'create', '--name', 'empty', '--disk-format', 'raw', '--quiet']
  const id = (await run(folder, create)).stdout.trim()
  expect((await run(folder, ['fetch', id, 'volume.raw'])).exitCode).toBe(1)
  expect(await readdir(folder.folder)).not.toContain('volume.raw')
})

test('a Glance that isn’t there is said so', async () => {
  await using folder = await openWorkbench()
  // Port 9 is discard, which nobody serves; refused at once, and tried again a few times.
  const { exitCode, stderr } = await run(folder, ['image', 'list'], 'http://127.0.0.1:9')
  expect(exitCode).toBe(1)
  expect(stderr).toContain('ECONNREFUSED')
  expect(stderr).toContain('--glance')
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s ends a slow fetch within a second, and nothing is left',
  async (name) => {
    await using folder = await openWorkbench()
    const id = await makeImage(folder, randomBytes(8 * 1024 * 1024))
    await using proxy = await startSlowProxy(glance.url)
    // Verified first, so that the bytes are in a temporary file when the signal comes.
    const { child, ended } = startCommand(
      [
        'fetch',
        id,
        'volume.raw',
        '--verify-before-write',
        '--glance',
        proxy.url,
        '--conversion-dir',
        'conversion',
        '--json',
      ],
      { cwd: folder.folder },
    )
    await proxy.dripping
    await expect.poll(() => readdir(folder.path('conversion'))).toHaveLength(1)
    const startedMs = performance.now()
    child.kill(name)
    const { exitCode, stdout } = await ended
    expect(performance.now() - startedMs).toBeLessThan(1000)
    expect({ exitCode, error: (JSON.parse(stdout) as { error: { code: string } }).error.code }).toEqual({
      exitCode: 130,
      error: 'CANCELLED',
    })
    expect(await readdir(folder.path('conversion'))).toEqual([])
    expect(await readdir(folder.folder)).not.toContain('volume.raw')
  },
)

test('a cancelled fetch that writes as it goes leaves no volume', async () => {
  await using folder = await openWorkbench()
  const id = await makeImage(folder, randomBytes(8 * 1024 * 1024))
  await using proxy = await startSlowProxy(glance.url)
  const { child, ended } = startCommand(['fetch', id, 'volume.raw', '--glance', proxy.url], {
    cwd: folder.folder,
  })
  await proxy.dripping
  child.kill('SIGINT')
  const { exitCode, stdout, stderr } = await ended
  expect({ exitCode, stdout }).toEqual({ exitCode: 130, stdout: '' })
  expect(stderr).toContain('Cancelled.')
  expect(await readdir(folder.folder)).not.toContain('volume.raw')
})

test('what a killed fetch leaves is cleaned, what a running one needs is not', async () => {
  await using folder = await openWorkbench()
  const id = await makeImage(folder, randomBytes(4 * 1024 * 1024))
  await using proxy = await startSlowProxy(glance.url)
  const argv = ['fetch', id, 'volume.raw', '--verify-before-write', '--glance', proxy.url]
  const { child, ended } = startCommand([...argv, '--conversion-dir', 'conversion'], { cwd: folder.folder })
  await proxy.dripping
  await expect.poll(() => readdir(folder.path('conversion'))).toHaveLength(1)
  expect(await json(folder, ['clean'])).toMatchObject({ removed: [] })
  child.kill('SIGKILL')
  await ended
  const { removed } = await json<{ removed: { path: string }[] }>(folder, ['clean'])
  expect(removed).toHaveLength(1)
  expect(removed[0]?.path).toContain(id)
  expect(await readdir(folder.path('conversion'))).toEqual([])
})

test('modules of Node.js that a qcow2 over plain HTTP does not need are not loaded', async () => {
  await using folder = await openWorkbench()
  // As large as what is hashed in a thread of its own, which loads what it needs.
  await writeFile(folder.path('disk.raw'), randomBytes(5 * 1024 * 1024))
  const upload = ['upload', 'disk.raw', '--name', 'disk', '--disk-format', 'qcow2']
  const { imageId } = await json<{ imageId: string }>(folder, upload)
  const tellModules = `process.on('exit', () => console.error(process.moduleLoadList.join(',')))`
  const { exitCode, stdout, stderr } = await startCommand(
    ['fetch', imageId, 'volume', '--glance', glance.url, '--conversion-dir', 'conversion', '--json'],
    {
      cwd: folder.folder,
      environment: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(tellModules)}` },
    },
  ).ended
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ imageId, hash: { verified: true } })
  const loaded = stderr.trim().split(',')
  expect(loaded).toContain('NativeModule net')
  // They take longer to load than the answer to come.
  expect(loaded).not.toContain('NativeModule tls')
  expect(loaded).not.toContain('NativeModule crypto')
  expect(loaded).not.toContain('NativeModule zlib')
})
