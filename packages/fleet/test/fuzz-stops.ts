/** Worker processes are stopped for longer than their lease, again and again. This is `pnpm fuzz stops`. */
import { fuzz, startRedis } from '@disk-image/testing'
import { Random } from '@disk-image/testing/simulation'
import { createFleet } from '../src/fleet/create-fleet.ts'
import { stopWriters } from './helpers/stop-writers.ts'

await using redis = await startRedis()
await using fleet = createFleet({ connection: redis.url, attempts: 50, backoffMs: 100 })
await fuzz(async (seed, counts) => {
  const random = new Random(seed)
  const elsewhere = random.chance(0.3)
  const outcome = await stopWriters({
    redis: redis.url,
    fleet,
    random: () => random.next(),
    writers: 4,
    elsewhere,
  })
  const add = (name: string, count: number): void => void (counts[name] = (counts[name] ?? 0) + count)
  add('stopped', outcome.stopped)
  add(elsewhere ? 'takenOverFromElsewhere' : 'takenOver', outcome.takenOver)
  if (outcome.wrong.length > 0) throw new Error(`Two have written ${outcome.wrong.join(', ')}.`)
})
