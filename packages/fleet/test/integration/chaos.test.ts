import path from 'node:path'
import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { createGlanceImageService, createImageUtils } from '@disk-image/image-utils'
import { startGlance, startRedis } from '@disk-image/testing'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { createFleet } from '../../src/fleet/create-fleet.ts'
import { createFarm, overlaps, sha256 } from '../helpers/farm.ts'
import type { TestImage, WorkerProcess } from '../helpers/farm.ts'
import { forward } from '../helpers/forward.ts'
import { createNetwork } from '../helpers/hosts.ts'
import type { TestHost } from '../helpers/hosts.ts'

/** A moderate number in CI, `DISK_IMAGE_FLEET_JOBS=500` for the whole. */
const jobs = Number(process.env['DISK_IMAGE_FLEET_JOBS'] ?? 90)
const leaseMs = 3000
/** Milliseconds that a chunk takes longer: slower jobs are hit in their middle more often. */
const slowMs = Number(process.env['DISK_IMAGE_FLEET_SLOW_MS'] ?? 60)

test(`${jobs} jobs over three hosts: killed, partitioned, and Redis restarted`, async () => {
  await using network = await createNetwork(3)
  await using redis = await startRedis({ host: network.address })
  await using glance = await startGlance()
  await using farm = await createFarm()
  const forwarded = await forward(network.address, new URL(glance.url))
  const images: { cloud: string; image: TestImage }[] = []
  const glanceService = createGlanceImageService({ endpoint: glance.url })
  for (let index = 0; index < 12; index += 1) {
    const ofGlance = index % 3 === 0
    const image = await farm.addImage(
      (1 + (index % 4)) * 512 * 1024,
      {},
      ofGlance ? glanceService : farm.store,
    )
    images.push({ cloud: ofGlance ? 'glance' : 'default', image })
  }
  await glanceService.close()
  const fleet = createFleet({ connection: redis.url, backoffMs: 300, attempts: 20 })
  const expected = new Map<string, { volume: string; sha256: string }>()
  for (let index = 0; index < jobs; index += 1) {
    const { cloud, image } = images[index % images.length]!
    const volume = path.join(farm.volumes, `volume-${index}`)
    const { id } = await fleet.submit(
      { type: 'fetch', cloud, imageId: image.id, volume },
      { priority: 1 + (index % 5) },
    )
    expected.set(id, { volume, sha256: image.sha256 })
  }
  const workers = new Map<TestHost, WorkerProcess>()
  const start = async (host: TestHost): Promise<void> => {
    const config = {
      redis: redis.url,
      host: host.name,
      glance: forwarded.url,
      leaseMs,
      maxCrashes: 12,
      slowMs,
      // Without a cache every job downloads for itself, and is longer.
      ...(slowMs > 100 ? {} : { cache: farm.file(`cache-${host.name}`) }),
    }
    workers.set(host, await farm.start(config, host.prefix))
  }
  await Promise.all(network.hosts.map(start))
  const faults = { kills: 0, partitions: 0, restarts: 0 }
  let left = jobs
  const over = async (): Promise<boolean> => {
    const { completed, failed } = await fleet.counts()
    left = jobs - completed - failed
    return left === 0
  }
  const beganMs = performance.now()
  // Whatever the machine's speed, all three happen before the jobs are done.
  for (let round = 0; !(await over()); round += 1) {
    if (performance.now() - beganMs > 15 * 60_000) throw new Error(`${left} jobs are not done`)
    const host = network.hosts[round % network.hosts.length]!
    if (round % 3 === 2) {
      await host.disconnect()
      await delay(leaseMs + 1500)
      await host.connect()
      faults.partitions += 1
    } else if (round % 3 === 1) {
      await redis.restart(700)
      faults.restarts += 1
    } else {
      workers.get(host)?.kill('SIGKILL')
      await workers.get(host)?.ended
      faults.kills += 1
      await start(host)
    }
    await delay(300 + Math.random() * 700)
  }
  const seconds = (performance.now() - beganMs) / 1000

  // Each ended once, and well.
  const views = await fleet.list({ limit: jobs + 10 })
  expect(
    views.map(({ state, error }) => ({ state, error })).filter(({ state }) => state !== 'completed'),
  ).toEqual([])
  expect(new Set(views.map(({ id }) => id))).toEqual(new Set(expected.keys()))
  const ends = await countEnds(redis.url)
  const doubled = [...ends.values()].filter((count) => count !== 1).length
  expect(doubled).toBe(0)
  expect(ends.size).toBe(jobs)
  // Every volume is what its image is, and at no time had one two writers.
  for (const { volume, sha256: wanted } of expected.values())
    expect(await sha256(volume), volume).toBe(wanted)
  const journal = await farm.journal()
  expect(overlaps(journal, farm.kills)).toEqual([])
  // Nothing half-done is left once the leftovers are cleaned away.
  for (const worker of workers.values()) worker.kill('SIGTERM')
  await Promise.all([...workers.values()].map(({ ended }) => ended))
  for (const host of network.hosts) {
    await createImageUtils(
      {},
      { imageConversionDir: farm.file(`conversion-${host.name}`) },
    ).cleanTemporaryFiles()
    expect(await readdir(farm.file(`conversion-${host.name}`)).catch(() => [])).toEqual([])
    const kept = await readdir(farm.file(`cache-${host.name}`)).catch(() => [])
    expect(kept.filter((name) => name.endsWith('.partial'))).toEqual([])
  }
  expect(new Set(await readdir(farm.volumes))).toEqual(
    new Set([...expected.values()].map(({ volume }) => path.basename(volume))),
  )
  expect(faults.kills).toBeGreaterThan(0)
  const runs = journal.filter(({ what }) => what === 'begin').length
  console.log(JSON.stringify({ jobs, seconds: Math.round(seconds), ...faults, runs, lost: 0, doubled }))
  await fleet.close()
  forwarded.close()
}, 1_200_000)

/** How often each job was said to have ended, by the engine's own record of events. */
async function countEnds(url: string): Promise<Map<string, number>> {
  const client = new Redis(url)
  const ends = new Map<string, number>()
  try {
    const entries = await client.xrange('disk-image:volumes-default:events', '-', '+')
    for (const [, fields] of entries) {
      const pairs = new Map(
        fields.flatMap((name, index) => (index % 2 === 0 ? [[name, fields[index + 1]!]] : [])),
      )
      const jobId = pairs.get('jobId')
      if (jobId === undefined || !['completed', 'failed'].includes(pairs.get('event') ?? '')) continue
      ends.set(jobId, (ends.get(jobId) ?? 0) + 1)
    }
    return ends
  } finally {
    client.disconnect()
  }
}
