import { execFile } from 'node:child_process'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { createImageUtils } from '@disk-image/image-utils'
import { createProcessRunner } from '@disk-image/host'
import { requireTool, startCeph, startRedis } from '@disk-image/testing'
import type { RunningCeph, RunningRedis } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFleet } from '../../src/fleet/create-fleet.ts'
import type { Fleet } from '../../src/fleet/create-fleet.ts'
import type { JobView } from '../../src/fleet/job-view.ts'
import type { FleetJob } from '../../src/jobs/job.ts'
import { createRbdDriver } from '../../src/rbd/create-rbd-driver.ts'
import { createWorker } from '../../src/worker/create-worker.ts'
import { createFarm, sha256 } from '../helpers/farm.ts'
import type { Farm } from '../helpers/farm.ts'

const MiB = 1024 * 1024
const run = promisify(execFile)
let redis: RunningRedis
let ceph: RunningCeph
let farm: Farm
let fleet: Fleet
let worker: Awaited<ReturnType<typeof createWorker>>

beforeAll(async () => {
  ;[redis, ceph, farm] = await Promise.all([startRedis(), startCeph(), createFarm()])
  fleet = createFleet({ connection: redis.url, attempts: 2, backoffMs: 100 })
  worker = await createWorker({
    connection: redis.url,
    imageUtils: createImageUtils({}, { imageConversionDir: farm.file('conversion') }),
    clouds: { default: { open: () => ({ imageService: farm.store }) } },
    backends: { default: { folders: [farm.volumes], pools: [ceph.pool] } },
    rbd: createRbdDriver({ runner: createProcessRunner() }, { configuration: ceph.configuration }),
    leaseMs: 5000,
  })
})
afterAll(async () => {
  await worker.close()
  await fleet.close()
  await Promise.all([farm[Symbol.asyncDispose](), redis.stop(), ceph.stop()])
})

async function done(job: FleetJob): Promise<JobView> {
  const view = await fleet.wait((await fleet.submit(job)).id)
  expect(view).toMatchObject({ state: 'completed' })
  return view
}

const rbd = async (...words: string[]): Promise<string> =>
  (await run(requireTool('rbd', 'ceph-common'), ['--conf', ceph.configuration, ...words])).stdout

/** What a volume holds, read by Ceph's own tool. */
async function bytesOf(image: string): Promise<string> {
  const file = farm.file(`${image}.export`)
  await rm(file, { force: true })
  await rbd('export', '--no-progress', `${ceph.pool}/${image}`, file)
  return sha256(file)
}

async function addFile(file: string, diskFormat: string): Promise<string> {
  const data = await readFile(file)
  const { id } = await farm.store.create(
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
  return id
}

test('an image onto a volume of Ceph, and a volume of Ceph into an image', async () => {
  const image = await farm.addImage(12 * MiB)
  await done({ type: 'fetch', imageId: image.id, volume: `rbd:${ceph.pool}/new` })
  expect(await bytesOf('new')).toBe(image.sha256)
  expect(await rbd('ls', ceph.pool)).toBe('new\n')
  // Raw goes there as it comes: nothing was put into a file.
  expect(await readdir(farm.file('conversion')).catch(() => 'never made')).toBe('never made')

  const target = await farm.store.create({}, { disk_format: 'raw', container_format: 'bare' })
  await done({ type: 'upload', imageId: target.id, volume: `rbd:${ceph.pool}/new` })
  expect(await sha256(farm.file(`store/${target.id}.data`))).toBe(image.sha256)
})

test('a volume that is there is overwritten, holes included; one that is too small is left', async () => {
  const image = await farm.addImage(4 * MiB)
  await rbd('create', '--size', '4M', `${ceph.pool}/there`)
  await rbd('bench', '--io-type', 'write', '--io-size', '1M', '--io-total', '4M', `${ceph.pool}/there`)
  await done({ type: 'fetch', imageId: image.id, volume: `rbd:${ceph.pool}/there` })
  expect(await bytesOf('there')).toBe(image.sha256)

  await rbd('create', '--size', '1M', `${ceph.pool}/small`)
  const before = await bytesOf('small')
  const job: FleetJob = { type: 'fetch', imageId: image.id, volume: `rbd:${ceph.pool}/small` }
  expect(await fleet.wait((await fleet.submit(job)).id)).toMatchObject({
    error: { code: 'INVALID', verdict: 'final' },
  })
  expect(await bytesOf('small')).toBe(before)
})

test('a converted image is on the volume of Ceph as raw', async () => {
  const raw = farm.file('disk.raw')
  await run('dd', ['if=/dev/urandom', `of=${raw}`, 'bs=1M', 'count=4', 'status=none'])
  await run(requireTool('qemu-img'), ['convert', '-f', 'raw', '-O', 'qcow2', raw, `${raw}.qcow2`])
  const id = await addFile(`${raw}.qcow2`, 'qcow2')
  await done({ type: 'fetch', imageId: id, volume: `rbd:${ceph.pool}/converted` })
  expect(await bytesOf('converted')).toBe(await sha256(raw))
})

test('a new volume becomes as large as it was asked for, whatever the image is', async () => {
  const raw = farm.file('small.raw')
  await run('dd', ['if=/dev/urandom', `of=${raw}`, 'bs=1M', 'count=3', 'status=none'])
  await run(requireTool('qemu-img'), ['convert', '-f', 'raw', '-O', 'vmdk', raw, `${raw}.vmdk`])
  for (const [format, file] of [
    ['raw', raw],
    ['vmdk', `${raw}.vmdk`],
  ] as const) {
    const imageId = await addFile(file, format)
    await done({ type: 'fetch', imageId, volume: `rbd:${ceph.pool}/large-${format}`, volumeSizeGiB: 1 })
    const { size } = JSON.parse(await rbd('info', '--format', 'json', `${ceph.pool}/large-${format}`)) as {
      size: number
    }
    expect(size).toBe(1024 * MiB)
    const exported = farm.file(`large-${format}`)
    await rbd('export', '--no-progress', `${ceph.pool}/large-${format}`, exported)
    await run('cmp', ['-n', String(3 * MiB), exported, raw])
  }
})

test('raw bytes that are another format, or not those of the hash, are taken back', async () => {
  const image = await farm.addImage(8 * MiB)
  const data = farm.file(`store/${image.id}.data`)
  const bytes = await readFile(data)
  bytes[5 * MiB] = (bytes[5 * MiB] ?? 0) ^ 1
  await writeFile(data, bytes)
  const job: FleetJob = { type: 'fetch', imageId: image.id, volume: `rbd:${ceph.pool}/wrong` }
  const wrong = await fleet.wait((await fleet.submit(job)).id)
  expect(wrong).toMatchObject({ state: 'failed', attempts: 2, error: { code: 'IMAGE_DOWNLOAD_FAILED' } })

  const raw = farm.file('small.raw')
  await run('truncate', ['-s', '8M', raw])
  await run(requireTool('qemu-img'), ['convert', '-f', 'raw', '-O', 'qcow2', raw, `${raw}.qcow2`])
  const disguised = await addFile(`${raw}.qcow2`, 'raw')
  const refused = await fleet.submit({
    type: 'fetch',
    imageId: disguised,
    volume: `rbd:${ceph.pool}/disguised`,
  })
  expect(await fleet.wait(refused.id)).toMatchObject({
    error: { code: 'IMAGE_UNACCEPTABLE', verdict: 'final' },
  })
  expect(await rbd('ls', ceph.pool)).not.toMatch(/wrong|disguised|partial/)
})

test('what is refused, or in a pool that is not served, leaves nothing in Ceph', async () => {
  const image = await farm.addImage(MiB, { disk_format: 'vmdk' })
  for (const volume of [`rbd:${ceph.pool}/refused`, 'rbd:other/volume']) {
    const view = await fleet.wait((await fleet.submit({ type: 'fetch', imageId: image.id, volume })).id)
    expect(view).toMatchObject({ state: 'failed', error: { verdict: 'final' } })
  }
  expect(await rbd('ls', ceph.pool)).not.toMatch(/refused|partial/)
})
