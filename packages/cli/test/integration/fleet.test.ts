import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createDirectoryImageService } from '@disk-image/image-utils/directory'
import { type RunningRedis, startRedis } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Ended, runCommand, startCommand } from '../helpers/command.ts'
import { openWorkbench } from '../helpers/run-command.ts'

const MiB = 1024 * 1024
let folder: string
let redis: RunningRedis
let environment: Record<string, string>
const at = (name: string): string => path.join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'disk-image-cli-fleet-'))
  await mkdir(at('volumes'))
  redis = await startRedis()
  environment = { DISK_IMAGE_REDIS: redis.url }
})
afterAll(async () => {
  await redis.stop()
  await rm(folder, { recursive: true, force: true })
})

const run = (...words: string[]): Promise<Ended> => runCommand(words, { cwd: folder, environment })

async function addImage(sizeBytes: number): Promise<{ id: string; bytes: Buffer }> {
  const bytes = randomBytes(sizeBytes)
  bytes.fill(0, 0, 512)
  const { id } = await createDirectoryImageService({ directory: at('store') }).create(
    {},
    { disk_format: 'raw', container_format: 'bare' },
    {
      data: {
        open: async function* open() {
          yield bytes
        },
      },
    },
  )
  return { id, bytes }
}

test('a worker, jobs for it, and what is seen of them', async () => {
  const image = await addImage(2 * MiB)
  const volume = at('volumes/one')
  const sha512 = createHash('sha512').update(image.bytes).digest('hex')
  // Before there is a worker, jobs wait.
  const submit = ['submit', 'fetch', image.id, volume, '--sha512', sha512, '--json']
  const submitted = JSON.parse((await run(...submit)).stdout) as { id: string; isNew: boolean }
  expect(submitted).toEqual({ id: expect.stringMatching(/^default\.fetch-/), isNew: true })
  expect(JSON.parse((await run(...submit)).stdout)).toEqual({ id: submitted.id, isNew: false })
  const before = JSON.parse((await run('jobs', '--json')).stdout)
  expect(before).toMatchObject({ counts: { waiting: 1 }, workers: [], jobs: [{ id: submitted.id }] })
  expect((await run('jobs')).stdout).toContain(`${submitted.id}  waiting`)

  const words = ['worker', '--store', 'store', '--folder', 'volumes', '--conversion-dir', 'conversion']
  const worker = startCommand([...words, '--cache', 'cache', '--cache-size', '1', '--name', 'w1'], {
    cwd: folder,
    environment,
  })
  const followed = await run(...submit, '--follow')
  expect(JSON.parse(followed.stdout)).toMatchObject({ state: 'completed', result: { worker: 'w1' } })
  expect(followed.exitCode).toBe(0)
  expect(await readFile(volume)).toEqual(image.bytes)
  expect((await run('jobs', submitted.id)).stdout).toMatch(/State +completed\n/)

  const list = [1, 2, 3].map((index) => ({
    type: 'fetch',
    imageId: image.id,
    volume: at(`volumes/list-${index}`),
  }))
  await writeFile(at('jobs.jsonl'), list.map((job) => `${JSON.stringify(job)}\n`).join(''))
  expect((await run('submit', 'list', 'jobs.jsonl')).stdout).toBe('3 submitted, 0 there already.\n')
  await writeFile(at('bad.jsonl'), '{"type":"fetch","imageId":"a","volume":"relative"}\n')
  const bad = await run('submit', 'list', 'bad.jsonl')
  expect([bad.exitCode, bad.stderr]).toEqual([2, expect.stringContaining('Line 1 of')])

  const outside = await run('submit', 'fetch', image.id, '/elsewhere/volume', '--follow', '--json')
  expect(outside.exitCode).toBe(1)
  expect(JSON.parse(outside.stdout)).toMatchObject({ state: 'failed', error: { code: 'INVALID' } })
  const { id } = JSON.parse(outside.stdout) as { id: string }
  expect((await run('jobs', 'cancel', id)).exitCode).toBe(2)
  expect((await run('jobs', '--state', 'failed')).stdout).toContain('its folder is not served')

  worker.child.kill('SIGTERM')
  const ended = await worker.ended
  expect(ended).toMatchObject({ exitCode: 0, stdout: 'w1 has ended.\n' })
  for (const { volume: one } of list) expect(await readFile(one)).toEqual(image.bytes)

  const waiting = JSON.parse((await run('submit', 'inspect', image.id, '--json')).stdout) as { id: string }
  expect((await run('jobs', 'cancel', waiting.id)).stdout).toBe(`${waiting.id} is cancelled.\n`)
  expect((await run('jobs', waiting.id)).exitCode).toBe(4)
})

test('jobs --watch paints until it is ended', async () => {
  const watching = startCommand(['jobs', '--watch', '--json'], { cwd: folder, environment })
  const first = await new Promise<string>((resolve) => {
    watching.child.stdout?.once('data', (text: string) => resolve(text))
  })
  expect(JSON.parse(first.split('\n')[0] ?? '')).toMatchObject({ counts: { completed: expect.any(Number) } })
  watching.child.kill('SIGINT')
  expect((await watching.ended).exitCode).toBe(0)
})

test('without the package of the fleet the command says how to install it', async () => {
  // A resolver that finds it as little as Node.js does where it is not installed.
  const hook = `import { registerHooks } from 'node:module'
registerHooks({
  resolve: (name, context, next) => {
    if (name !== '@disk-image/fleet') return next(name, context)
    throw Object.assign(new Error("Cannot find package '@disk-image/fleet'"), { code: 'ERR_MODULE_NOT_FOUND' })
  },
})`
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(hook)}`
  const ended = await runCommand(['jobs'], { cwd: folder, environment: { ...environment, NODE_OPTIONS } })
  expect([ended.exitCode, ended.stderr]).toEqual([
    2,
    expect.stringContaining('npm install --global @disk-image/fleet'),
  ])
})

test('what is missing is said', async () => {
  await using bench = await openWorkbench()
  const nowhere = await bench.run(['jobs'])
  expect([nowhere.exitCode, nowhere.stderr]).toEqual([2, expect.stringContaining('DISK_IMAGE_REDIS')])
  const silent = await bench.run(['jobs'], {
    environment: { DISK_IMAGE_REDIS: 'redis://user:secret@127.0.0.1:1' },
  })
  expect([silent.exitCode, silent.stderr]).toEqual([1, expect.stringContaining('Redis at 127.0.0.1:1')])
  expect(silent.stderr).not.toContain('secret')
  const nothing = await bench.run(['worker', '--redis', redis.url])
  expect([nothing.exitCode, nothing.stderr]).toEqual([
    2,
    expect.stringContaining('--folder DIR or --pool NAME'),
  ])
})
