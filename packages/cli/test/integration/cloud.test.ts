import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningGlance, startGlance } from '@disk-image/testing'
import { openWorkbench, type Outcome, type Workbench } from '../helpers/run-command.ts'

let glance: RunningGlance

beforeAll(async () => {
  glance = await startGlance({ mode: 'keystone', stores: 'multi' })
})

afterAll(async () => {
  await glance.stop()
})

const clouds = (): Record<string, string> => ({ OS_CLIENT_CONFIG_FILE: glance.cloudsFile ?? '' })

function run(
  folder: Workbench,
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Outcome> {
  return folder.run(argv, { environment })
}

/** The `OS_*` variables alone, without what the tests need beside them. */
function variables(): Record<string, string> {
  return Object.fromEntries(Object.entries(glance.environment).filter(([name]) => name.startsWith('OS_')))
}

test('a volume goes up by --cloud and comes down by OS_CLOUD and by the OS_* variables', async () => {
  await using folder = await openWorkbench()
  const data = randomBytes(1024 * 1024)
  await writeFile(folder.path('disk.raw'), data)
  const upload = await run(
    folder,
    ['upload', 'disk.raw', '--name', 'disk', '--cloud', 'demo', '--quiet'],
    clouds(),
  )
  expect(upload).toMatchObject({ exitCode: 0, stderr: '' })
  const id = upload.stdout.trim()
  for (const environment of [{ ...clouds(), OS_CLOUD: 'appcred' }, variables()]) {
    const fetched = await run(folder, ['fetch', id, 'volume.raw', '--json'], environment)
    expect(JSON.parse(fetched.stdout)).toMatchObject({ imageId: id, hash: { verified: true } })
    expect((await readFile(folder.path('volume.raw'))).equals(data)).toBe(true)
  }
  const health = await run(folder, ['doctor', '--cloud', 'demo', '--json'], clouds())
  expect(JSON.parse(health.stdout).checks.at(-1)).toMatchObject({
    name: 'cloud',
    status: 'ok',
    found: expect.stringMatching(/^the cloud demo.*, as the user demo, project /),
  })
  // Another project does not see it.
  expect((await run(folder, ['image', 'show', id, '--cloud', 'other'], clouds())).exitCode).toBe(4)
})

test('a cloud that is not there is wrong usage, and the message says which are', async () => {
  await using folder = await openWorkbench()
  const { exitCode, stderr } = await run(folder, ['image', 'list', '--cloud', 'production'], clouds())
  expect(exitCode).toBe(2)
  expect(stderr).toContain('production')
  expect(stderr).toContain('demo')
})

test('a wrong password is 5, and is never shown', async () => {
  await using folder = await openWorkbench()
  const environment = { ...variables(), OS_PASSWORD: 'not-the-password' }
  const { exitCode, stdout, stderr } = await run(
    folder,
    ['image', 'list', '--verbose', '--json'],
    environment,
  )
  expect(exitCode).toBe(5)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'AUTHENTICATION_FAILED' } })
  expect(stdout + stderr).not.toContain('not-the-password')
})

test('data is imported, and copied to another store', async () => {
  await using folder = await openWorkbench()
  await writeFile(folder.path('disk.raw'), randomBytes(256 * 1024))
  const flags = ['--cloud', 'admin-in-demo', '--json']
  const imported = await run(
    folder,
    ['image', 'import', '--name', 'imported', '--disk-format', 'raw', '--file', 'disk.raw', ...flags],
    clouds(),
  )
  expect(imported).toMatchObject({ exitCode: 0, stderr: '' })
  const image = JSON.parse(imported.stdout) as { id: string }
  expect(image).toMatchObject({ status: 'active', size: 256 * 1024 })
  const copied = await run(folder, ['image', 'import', image.id, '--to-store', 'slow', ...flags], clouds())
  const { stores } = JSON.parse(copied.stdout) as { stores: string }
  expect(stores.split(',').sort()).toEqual(['fast', 'slow'])
})

test('an import that fails says why, and takes the image back that was made for it', async () => {
  await using folder = await openWorkbench()
  const flags = ['--cloud', 'admin-in-demo', '--json']
  const { exitCode, stdout } = await run(
    folder,
    [
      'image',
      'import',
      '--name',
      'failed',
      '--disk-format',
      'raw',
      '--uri',
      'http://127.0.0.1:9/nothing',
      ...flags,
    ],
    clouds(),
  )
  expect(exitCode).toBe(1)
  expect(JSON.parse(stdout)).toHaveProperty('error.message')
  const list = await run(folder, ['image', 'list', '--name', 'failed', ...flags], clouds())
  expect(JSON.parse(list.stdout)).toEqual({ images: [] })
})
