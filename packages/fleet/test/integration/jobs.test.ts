import path from 'node:path'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ImageService } from '@disk-image/core'
import { createImageUtils } from '@disk-image/image-utils'
import type { ImageUtils } from '@disk-image/image-utils'
import { createSnapshot, createVhd } from '@disk-image/vhd'
import { makeEncryptedImage, requireTool, startRedis } from '@disk-image/testing'
import type { RunningRedis } from '@disk-image/testing'
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFleet } from '../../src/fleet/create-fleet.ts'
import type { Fleet } from '../../src/fleet/create-fleet.ts'
import type { JobView } from '../../src/fleet/job-view.ts'
import type { FleetJob } from '../../src/jobs/job.ts'
import { createWorker } from '../../src/worker/create-worker.ts'
import type { FleetWorkerOptions } from '../../src/worker/worker-context.ts'
import { createFarm, sha256 } from '../helpers/farm.ts'
import type { Farm } from '../helpers/farm.ts'

const MiB = 1024 * 1024
const run = promisify(execFile)
let redis: RunningRedis
let farm: Farm
let fleet: Fleet
let imageUtils: ImageUtils
let options: FleetWorkerOptions
let count = 0

beforeAll(async () => {
  redis = await startRedis()
  farm = await createFarm()
  fleet = createFleet({ connection: redis.url, backoffMs: 50, attempts: 3 })
  imageUtils = createImageUtils({}, { imageConversionDir: farm.file('conversion') })
  options = {
    connection: redis.url,
    imageUtils,
    clouds: { default: { open: () => ({ imageService: farm.store }) } },
    backends: { default: { folders: [farm.volumes] } },
    leaseMs: 3000,
  }
})
afterAll(async () => {
  await fleet.close()
  await farm[Symbol.asyncDispose]()
  await redis.stop()
})

const volume = (): string => path.join(farm.volumes, `volume-${(count += 1)}`)

async function done(job: FleetJob): Promise<Record<string, unknown>> {
  const view = await fleet.wait((await fleet.submit(job)).id)
  expect(view.error).toBeUndefined()
  expect(view.state).toBe('completed')
  return view.result?.report ?? {}
}

async function qcow2(sizeMiB: number): Promise<{ file: string; raw: string }> {
  const raw = farm.file(`disk-${(count += 1)}.raw`)
  const file = `${raw}.qcow2`
  await run('dd', ['if=/dev/urandom', `of=${raw}`, 'bs=1M', `count=${sizeMiB}`, 'status=none'])
  await run(requireTool('qemu-img'), ['convert', '-f', 'raw', '-O', 'qcow2', raw, file])
  return { file, raw }
}

async function add(file: string, diskFormat: string, store: ImageService = farm.store): Promise<string> {
  const data = await readFile(file)
  const record = await store.create(
    {},
    { disk_format: diskFormat, container_format: 'bare' },
    {
      data: {
        open: async function* open() {
          yield data
        },
      },
    },
  )
  return record.id
}

test('every type of job, over the real tools', async () => {
  await using worker = await createWorker(options)
  const { file, raw } = await qcow2(4)
  const imageId = await add(file, 'qcow2')
  const fetched = volume()
  const hash = (await farm.store.show({}, imageId)).os_hash_value ?? ''
  await done({ type: 'fetch', imageId, volume: fetched, hash: { algorithm: 'sha512', value: hash } })
  expect(await sha256(fetched)).toBe(await sha256(raw))

  const inspected = await done({ type: 'inspect', imageId })
  expect(inspected).toMatchObject({ format: 'qcow2', accepted: true, volumeBytes: 4 * MiB })

  const target = await farm.store.create({}, { disk_format: 'qcow2', container_format: 'bare' })
  await done({ type: 'upload', imageId: target.id, volume: fetched, volumeFormat: 'raw' })
  expect((await farm.store.show({}, target.id)).status).toBe('active')
  const back = volume()
  await done({ type: 'fetch', imageId: target.id, volume: back })
  expect(await sha256(back)).toBe(await sha256(raw))

  const converted = volume()
  await done({
    type: 'convert',
    source: fetched,
    sourceFormat: 'raw',
    volume: converted,
    volumeFormat: 'qcow2',
    compression: 'zlib',
  })
  await run(requireTool('qemu-img'), ['compare', '-f', 'raw', '-F', 'qcow2', fetched, converted])

  const [base, leaf] = [path.join(farm.volumes, 'base.vhd'), path.join(farm.volumes, 'leaf.vhd')]
  await createVhd(base, { sizeBytes: 4 * MiB })
  await createSnapshot(leaf, base)
  expect(await done({ type: 'coalesce', chain: [leaf, base] })).toEqual({ base, merged: 1 })
  expect(worker.activeJobs).toBe(0)
})

test('an image goes by its name, and an encrypted one is opened with what the worker has', async () => {
  const secret = farm.file('secret')
  await writeFile(secret, 'a passphrase')
  await using _worker = await createWorker({ ...options, passphrases: { disk: secret } })
  const { raw } = await qcow2(2)
  const encrypted = `${raw}.luks`
  const key = ['--object', `secret,id=key,file=${secret}`]
  const of = ['-o', 'key-secret=key,iter-time=10']
  await makeEncryptedImage(['convert', ...key, '-f', 'raw', '-O', 'luks', ...of, raw, encrypted])
  await farm.store.create(
    {},
    { name: 'vault', disk_format: 'raw', container_format: 'bare' },
    {
      data: {
        open: async function* open() {
          yield await readFile(encrypted)
        },
      },
    },
  )
  const job: FleetJob = {
    type: 'fetch',
    source: 'image:vault',
    volume: volume(),
    decrypt: true,
    passphrase: 'disk',
  }
  expect(await done(job)).toMatchObject({
    imageId: expect.stringMatching(/^[\da-f-]{36}$/),
    hash: { verified: true },
  })
  expect(await sha256(job.volume)).toBe(await sha256(raw))
  expect(await done({ type: 'inspect', source: 'image:vault' })).toMatchObject({ format: 'luks' })
  const failed = async (other: FleetJob): Promise<string | undefined> =>
    (await fleet.wait((await fleet.submit(other)).id)).error?.code
  expect(await failed({ ...job, volume: volume(), passphrase: 'other' })).toBe('INVALID')
  expect(await failed({ ...job, volume: volume(), source: 'image:none' })).toBe('IMAGE_NOT_FOUND')
  const hash = { algorithm: 'sha256', value: '00'.repeat(32) }
  expect(await failed({ ...job, volume: volume(), hash })).toBe('IMAGE_DOWNLOAD_FAILED')
})

test("a job's source leads to the public internet only, unless the worker is told more", async () => {
  const bytes = randomBytes(MiB)
  const hash = { algorithm: 'sha256', value: createHash('sha256').update(bytes).digest('hex') }
  const server = createServer((_request, response) => response.end(bytes)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const source = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.raw`
  const job = (): FleetJob => ({ type: 'fetch', source, sourceFormat: 'raw', hash, volume: volume() })
  try {
    const worker = await createWorker(options)
    const refused = await fleet.wait((await fleet.submit(job())).id)
    expect(refused.error).toMatchObject({ code: 'ADDRESS_REFUSED' })
    await worker.close()
    const network = { url: { allow: { privateAddresses: true } } }
    const told = createImageUtils({ network }, { imageConversionDir: farm.file('conversion') })
    await using _worker = await createWorker({ ...options, imageUtils: told })
    const allowed = job()
    expect(await done(allowed)).toMatchObject({ imageId: source, verified: [hash], warnings: [] })
    expect((await readFile('volume' in allowed ? allowed.volume : '')).equals(bytes)).toBe(true)
  } finally {
    server.close()
  }
})

test('the same job is there once, until another one fills its volume', async () => {
  await using _worker = await createWorker(options)
  const [one, other] = [await farm.addImage(MiB), await farm.addImage(MiB)]
  const target = volume()
  const job: FleetJob = { type: 'fetch', imageId: one.id, volume: target }
  const first = await fleet.submit(job)
  // The manner of doing it makes no other job of it.
  const second = await fleet.submit({ ...job, backend: 'default', volumeFormat: 'raw', connections: 2 })
  expect([first.isNew, second]).toEqual([true, { id: first.id, isNew: false }])
  const { result } = await fleet.wait(first.id)
  expect((await fleet.submit(job)).isNew).toBe(false)
  await done({ type: 'fetch', imageId: other.id, volume: target })
  expect((await fleet.submit(job)).isNew).toBe(true)
  const again = await fleet.wait(first.id)
  expect(await sha256(target)).toBe(one.sha256)
  expect(again.result?.fencingToken).toBeGreaterThan(result?.fencingToken ?? 0)
})

test('a refusal is final, and what a job may not name is refused', async () => {
  await using _worker = await createWorker(options)
  const image = await farm.addImage(MiB, { disk_format: 'qcow2' })
  const refused = await fleet.wait(
    (await fleet.submit({ type: 'fetch', imageId: image.id, volume: volume() })).id,
  )
  expect(refused).toMatchObject({ state: 'failed', error: { code: 'IMAGE_UNACCEPTABLE', verdict: 'final' } })
  expect(refused.error?.rule).toBeTypeOf('string')
  const outside: FleetJob = {
    type: 'fetch',
    imageId: image.id,
    volume: '/tmp/../tmp/volume'.replace('/..', ''),
  }
  expect(await fleet.wait((await fleet.submit(outside)).id)).toMatchObject({ error: { code: 'INVALID' } })
  const { link } = { link: path.join(farm.volumes, 'link') }
  await run('ln', ['-s', farm.directory, link])
  const linked: FleetJob = { type: 'fetch', imageId: image.id, volume: `${link}/volume` }
  expect(await fleet.wait((await fleet.submit(linked)).id)).toMatchObject({ error: { code: 'INVALID' } })
  await run('rm', [link])
  const elsewhere: FleetJob = { type: 'fetch', cloud: 'unknown', imageId: image.id, volume: volume() }
  expect(await fleet.wait((await fleet.submit(elsewhere)).id)).toMatchObject({ error: { verdict: 'final' } })
  const wrongHash: FleetJob = {
    type: 'fetch',
    imageId: image.id,
    volume: volume(),
    hash: { algorithm: 'sha512', value: '00'.repeat(64) },
  }
  expect(await fleet.wait((await fleet.submit(wrongHash)).id)).toMatchObject({ error: { code: 'INVALID' } })
})

test('volumes that are pipes or lead out fail at once, and stop nobody', async () => {
  await using _worker = await createWorker({ ...options, limits: { jobs: 8, conversions: 8 } })
  const image = await farm.addImage(MiB)
  const precious = farm.file('precious')
  await writeFile(precious, 'precious')
  const jobs: FleetJob[] = []
  for (let index = 0; index < 5; index += 1) {
    const [pipe, link] = [volume(), volume()]
    await run('mkfifo', [pipe])
    await run('ln', ['-s', '../precious', link])
    const convert = { type: 'convert', sourceFormat: 'raw', volumeFormat: 'raw' } as const
    jobs.push(
      { ...convert, source: pipe, volume: volume() },
      { ...convert, source: link, volume: volume() },
      { type: 'fetch', imageId: image.id, volume: pipe },
      { type: 'fetch', imageId: image.id, volume: link },
    )
  }
  const before = await readdir(farm.volumes)
  const views = await Promise.all(jobs.map(async (job) => fleet.wait((await fleet.submit(job)).id)))
  for (const view of views) expect(view).toMatchObject({ error: { code: 'INVALID', verdict: 'final' } })
  expect((await readdir(farm.volumes)).toSorted()).toEqual(before.toSorted())
  expect(await readFile(precious, 'utf8')).toBe('precious')
  const target = volume()
  const report = await done({ type: 'fetch', imageId: image.id, volume: target })
  // What is reported is the volume's name, not the handle that it was opened by.
  expect(report['volume']).toBe(target)
  expect(await sha256(target)).toBe(image.sha256)
})

test('a broken service is tried again, with the attempts that were given', async () => {
  let tries = 0
  const image = await farm.addImage(MiB)
  const flaky = withDownload(async (...parameters) => {
    tries += 1
    if (tries < 3) throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    return farm.store.download(...parameters)
  })
  await using _worker = await createWorker({
    ...options,
    clouds: { default: { open: () => ({ imageService: flaky }) } },
  })
  const target = volume()
  const view = await fleet.wait((await fleet.submit({ type: 'fetch', imageId: image.id, volume: target })).id)
  expect(view).toMatchObject({ state: 'completed', attempts: 3 })
  expect(await sha256(target)).toBe(image.sha256)
})

/** The farm's store, with downloads of another kind. */
function withDownload(download: ImageService['download']): ImageService {
  return new Proxy(farm.store, {
    get: (target, property) => {
      if (property === 'download') return download
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
}

test('cancelling reaches a running tool within a second, and a waiting job at once', async () => {
  await using worker = await createWorker(options)
  const source = path.join(farm.volumes, 'large.raw')
  await run('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=192', 'status=none'])
  const target = volume()
  const { id } = await fleet.submit({
    type: 'convert',
    source,
    sourceFormat: 'raw',
    volume: target,
    volumeFormat: 'qcow2',
    compression: 'zlib',
  })
  for await (const { progress } of fleet.follow(id))
    if (progress?.stage === 'convert' && progress.completed > 0) break
  const beganMs = performance.now()
  expect(await fleet.cancel(id)).toBe(true)
  const view = await fleet.wait(id)
  expect(performance.now() - beganMs).toBeLessThan(1000)
  expect(view).toMatchObject({ state: 'cancelled', error: { code: 'FLEET_JOB_CANCELLED' } })
  const { stdout } = await run('ps', ['-eo', 'args'])
  expect(stdout).not.toContain(target)
  expect(await stat(target).catch(() => undefined)).toBeUndefined()
  await worker.close()

  const waiting = await fleet.submit({ type: 'inspect', imageId: 'none-of-them' })
  expect((await fleet.show(waiting.id)).state).toBe('waiting')
  expect(await fleet.cancel(waiting.id)).toBe(true)
  await expect(fleet.show(waiting.id)).rejects.toThrow('There is no job')
  await run('rm', [source])
})

test('an image is downloaded once for many volumes, and what is kept is verified and bounded', async () => {
  let downloads = 0
  const counting = withDownload((...parameters) => {
    downloads += 1
    return farm.store.download(...parameters)
  })
  const directory = farm.file('cache')
  await using worker = await createWorker({
    ...options,
    clouds: { default: { open: () => ({ imageService: counting }) } },
    cache: { directory, maxBytes: 5 * MiB },
    limits: { jobs: 8 },
  })
  const image = await farm.addImage(3 * MiB)
  const targets = Array.from({ length: 10 }, volume)
  await Promise.all(targets.map((target) => done({ type: 'fetch', imageId: image.id, volume: target })))
  expect(downloads).toBe(1)
  for (const target of targets) expect(await sha256(target)).toBe(image.sha256)
  expect(worker.cacheCounts).toMatchObject({ hits: 9, misses: 1 })

  // A byte that turned over on the disk is noted before a job succeeds with it.
  const kept = (await readdir(directory)).find((name) => name.endsWith('.data')) ?? ''
  const bytes = await readFile(path.join(directory, kept))
  bytes[MiB] = (bytes[MiB] ?? 0) ^ 1
  await writeFile(path.join(directory, kept), bytes)
  const target = volume()
  await done({ type: 'fetch', imageId: image.id, volume: target })
  expect(await sha256(target)).toBe(image.sha256)
  expect(downloads).toBe(2)

  // Another image of that size needs the room.
  const other = await farm.addImage(3 * MiB)
  await done({ type: 'fetch', imageId: other.id, volume: volume() })
  expect((await readdir(directory)).filter((name) => name.endsWith('.data'))).toHaveLength(1)
  expect(worker.cacheCounts?.evictions).toBeGreaterThan(0)
})

test('what is kept is another image where only the beginning of the hash is the same', async () => {
  const image = await farm.addImage(MiB)
  const record = await farm.store.show({}, image.id)
  const asked: string[] = []
  const store = withDownload((context, imageId, ...rest) => {
    asked.push(imageId)
    return farm.store.download(context, imageId, ...rest)
  })
  /** The same bytes for the cache's name, by hashes that they don't have. */
  const claims = [
    record.os_hash_value,
    `${record.os_hash_value?.slice(0, 64)}${'0'.repeat(64)}`,
    record.os_hash_value?.slice(0, 64),
    record.os_hash_value?.slice(0, 100),
  ]
  let claim = claims[0]
  const lying = new Proxy(store, {
    get(target, name) {
      if (name === 'show') return async () => ({ ...record, os_hash_value: claim })
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
  await using _worker = await createWorker({
    ...options,
    clouds: { default: { open: () => ({ imageService: lying }) } },
    cache: { directory: farm.file('cache-names'), maxBytes: 5 * MiB },
  })
  await done({ type: 'fetch', imageId: image.id, volume: volume() })
  expect(asked).toHaveLength(1)
  for (claim of claims.slice(1)) {
    await done({ type: 'fetch', imageId: image.id, volume: volume() })
  }
  // Nothing of it came from the cache as if it were verified.
  expect(asked).toHaveLength(4)
})

test('no more jobs than a cloud and a back end take, over all workers', async () => {
  const seen = { now: 0, most: 0 }
  const watched: ImageUtils = {
    ...imageUtils,
    imageToVolume: async (request) => {
      seen.now += 1
      seen.most = Math.max(seen.most, seen.now)
      await delay(60)
      return imageUtils.imageToVolume(request).finally(() => (seen.now -= 1))
    },
  }
  const image = await farm.addImage(64 * 1024)
  for (const [cloudJobs, backendJobs] of [
    [2, undefined],
    [undefined, 3],
  ]) {
    seen.most = 0
    const limited: FleetWorkerOptions = {
      ...options,
      imageUtils: watched,
      clouds: { default: { open: () => ({ imageService: farm.store }), maxJobs: cloudJobs } },
      backends: { default: { folders: [farm.volumes], maxJobs: backendJobs } },
    }
    const workers = await Promise.all(
      ['a', 'b', 'c'].map((host) => createWorker({ ...limited, host, name: `worker-${host}` })),
    )
    expect((await fleet.workers()).map(({ host }) => host).toSorted()).toEqual(['a', 'b', 'c'])
    await Promise.all(
      Array.from({ length: 16 }, () => done({ type: 'fetch', imageId: image.id, volume: volume() })),
    )
    await Promise.all(workers.map((worker) => worker.close()))
    expect(seen.most).toBe(cloudJobs ?? backendJobs)
  }
  await using _unlimited = await createWorker(options)
})

const tokenOf = ({ result }: JobView): number => result?.fencingToken ?? 0

test('the more important job is done first', async () => {
  const image = await farm.addImage(64 * 1024)
  const ids: string[] = []
  for (const priority of [500, 1, 1000, 20]) {
    ids.push((await fleet.submit({ type: 'fetch', imageId: image.id, volume: volume() }, { priority })).id)
  }
  await using _worker = await createWorker({ ...options, limits: { jobs: 1 } })
  const views = await Promise.all(ids.map((id) => fleet.wait(id)))
  const order = views.toSorted((left, right) => tokenOf(left) - tokenOf(right))
  expect(order.map(({ priority }) => priority)).toEqual([1, 20, 500, 1000])
})

test('a full disk sends the job to another host', async () => {
  const small = farm.file('small')
  await mkdir(small)
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const mount = [...sudo, requireTool('mount'), '-t', 'tmpfs', '-o', 'size=1m,mode=1777', 'tmpfs', small]
  await run(mount[0] ?? '', mount.slice(1))
  try {
    const { file, raw } = await qcow2(4)
    const imageId = await add(file, 'qcow2')
    const full = createImageUtils({}, { imageConversionDir: path.join(small, 'conversion') })
    await using first = await createWorker({ ...options, host: 'full', name: 'full', imageUtils: full })
    await using _second = await createWorker({
      ...options,
      host: 'roomy',
      name: 'roomy',
      limits: { jobs: 1 },
    })
    const results = await Promise.all(
      [1, 2, 3].map(async () => {
        const target = volume()
        const view = await fleet.wait((await fleet.submit({ type: 'fetch', imageId, volume: target })).id)
        expect(view).toMatchObject({ state: 'completed' })
        expect(await sha256(target)).toBe(await sha256(raw))
        return view
      }),
    )
    expect(results.map(({ result, attempts }) => [result?.host, attempts])).toEqual([
      ['roomy', 1],
      ['roomy', 1],
      ['roomy', 1],
    ])
    await first.close()
  } finally {
    const unmount = [...sudo, requireTool('umount', 'mount'), small]
    await run(unmount[0] ?? '', unmount.slice(1))
  }
})

test('a worker that is stopped gives back what it has not done', async () => {
  const image = await farm.addImage(MiB)
  const endless: ImageUtils = {
    ...imageUtils,
    imageToVolume: async ({ signal }) => {
      await delay(60_000, undefined, { signal })
      throw new Error('nobody stopped it')
    },
  }
  const worker = await createWorker({ ...options, imageUtils: endless })
  const target = volume()
  const { id } = await fleet.submit({ type: 'fetch', imageId: image.id, volume: target })
  for await (const { progress } of fleet.follow(id)) if (progress?.fencingToken !== undefined) break
  await worker.close({ graceMs: 100 })
  expect(await fleet.show(id)).toMatchObject({ state: 'waiting', attempts: 0 })
  await using _next = await createWorker(options)
  expect(await fleet.wait(id)).toMatchObject({ state: 'completed', attempts: 1, crashes: 0 })
  expect(await sha256(target)).toBe(image.sha256)
})

test('what a worker does is told to Prometheus', async () => {
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const provider = new MeterProvider({ readers: [exporter] })
  await using _worker = await createWorker({
    ...options,
    host: 'h',
    name: 'w',
    meter: provider.getMeter('fleet'),
  })
  const image = await farm.addImage(2 * MiB)
  await done({ type: 'fetch', imageId: image.id, volume: volume() })
  const { resourceMetrics } = await exporter.collect()
  const text = new PrometheusSerializer().serialize(resourceMetrics)
  expect(text).toMatch(/^disk_image_fleet_runs_total\{.*outcome="completed".*\} 1/m)
  expect(text).toMatch(/^disk_image_fleet_run_duration_count\{.*type="fetch".*\} 1/m)
  expect(text).toMatch(/^disk_image_fleet_transferred_total\{.*\} 2097152/m)
  expect(text).toMatch(/^disk_image_fleet_active\{.*host="h".*\} 0/m)
  await provider.shutdown()
})
