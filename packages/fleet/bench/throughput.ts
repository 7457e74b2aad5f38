import path from 'node:path'
import { rm } from 'node:fs/promises'
import { createGlanceImageService } from '@disk-image/image-utils'
import { startGlance, startRedis } from '@disk-image/testing'
import { createFleet } from '../src/fleet/create-fleet.ts'
import { createFarm, sha256 } from '../test/helpers/farm.ts'
import { forward } from '../test/helpers/forward.ts'
import { createNetwork } from '../test/helpers/hosts.ts'

// How many images 1, 2 and 3 workers bring onto volumes: node --conditions=@disk-image/source bench/throughput.ts [IMAGES] [MIB]
// Each worker is a process in a network namespace of its own; images come from a real Glance over that network, or with
// GLANCE=0 from a folder. It needs root, Debian's redis-server and glance-api.

const [images = 200, sizeMiB = 8] = process.argv.slice(2).map(Number)
const MiB = 1024 * 1024
const withGlance = process.env['GLANCE'] !== '0'

await using network = await createNetwork(3)
await using glance = withGlance ? await startGlance() : undefined
await using farm = await createFarm()
const forwarded = glance === undefined ? undefined : await forward(network.address, new URL(glance.url))
const service = glance === undefined ? undefined : createGlanceImageService({ endpoint: glance.url })
const different: { id: string; sha256: string }[] = []
for (let index = 0; index < 20; index += 1)
  different.push(await farm.addImage(sizeMiB * MiB, {}, service ?? farm.store))

for (const count of [1, 2, 3]) {
  await using redis = await startRedis({ host: network.address })
  const fleet = createFleet({ connection: redis.url })
  const workers = await Promise.all(
    network.hosts
      .slice(0, count)
      .map((host) =>
        farm.start(
          { redis: redis.url, host: host.name, glance: forwarded?.url, leaseMs: 15_000, jobs: 4 },
          host.prefix,
        ),
      ),
  )
  const beganMs = performance.now()
  const ids: string[] = []
  for (let index = 0; index < images; index += 1) {
    const volume = path.join(farm.volumes, `volume-${index}`)
    const imageId = different[index % different.length]?.id ?? ''
    ids.push(
      (await fleet.submit({ type: 'fetch', cloud: withGlance ? 'glance' : 'default', imageId, volume })).id,
    )
  }
  await Promise.all(ids.map((id) => fleet.wait(id)))
  const seconds = (performance.now() - beganMs) / 1000
  const { completed } = await fleet.counts()
  const right = await sha256(path.join(farm.volumes, 'volume-0'))
  process.stdout.write(
    `${JSON.stringify({
      workers: count,
      images: completed,
      right: right === different[0]?.sha256,
      seconds: Number(seconds.toFixed(1)),
      imagesPerSecond: Number((completed / seconds).toFixed(1)),
      mibPerSecond: Math.round((completed * sizeMiB) / seconds),
    })}\n`,
  )
  workers.forEach((worker) => worker.kill('SIGTERM'))
  await Promise.all(workers.map(({ ended }) => ended))
  for (let index = 0; index < images; index += 1)
    await rm(path.join(farm.volumes, `volume-${index}`), { force: true })
  await fleet.close()
}
forwarded?.close()
await service?.close()
