import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '@disk-image/testing'
import { Random } from '@disk-image/testing/simulation'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import {
  acquireLease,
  beat,
  commitOutcome,
  liveHosts,
  releaseLease,
  renewLease,
  takePermit,
} from '../../src/redis/scripts.ts'
import { RedisModel } from '../simulation/redis-model.ts'

test('the Redis of the simulation answers as Redis does', async () => {
  await using server = await startRedis()
  const redis = new Redis(server.url)
  const model = new RedisModel(() => Date.now())
  const random = new Random(1)
  const one = <Value>(...values: [Value, ...Value[]]): Value => random.pick(values)
  try {
    for (let step = 0; step < 1000; step += 1) {
      const key = (name: string): string => `${name}-${random.below(3)}`
      const [leases, owners] = ['lease', 'owner'].map((name) => [key(name), key(name)]) as [
        string[],
        string[],
      ]
      const ttlMs = random.chance(0.1) ? 1 : 600_000
      const holder = one('x', 'y', 'z')
      const call = random.pick<[string, ...(string | number)[]]>([
        ['eval', acquireLease, 5, ...leases, ...owners, 'fence', holder, ttlMs, one('r', 'q')],
        [
          'eval',
          renewLease,
          5,
          ...leases,
          ...owners,
          'cancelled',
          holder,
          ttlMs,
          one('s', 't'),
          one('r', 'q'),
        ],
        ['eval', commitOutcome, 2, key('lease'), key('outcome'), holder, `o${step}`, ttlMs],
        ['eval', releaseLease, 4, ...leases, ...owners, holder, one('r', 'q')],
        ['eval', takePermit, 1, key('permits'), holder, 2, ttlMs],
        ['eval', beat, 2, 'workers', key('hosts'), holder, 'view', ttlMs, holder],
        ['eval', liveHosts, 1, key('hosts')],
        ['get', key(one('lease', 'owner', 'outcome'))],
        ['set', 'cancelled', one('s', 't'), 'PX', ttlMs],
        ['sadd', key('set'), holder],
        ['sismember', key('set'), holder],
        ['smembers', key('set')],
        ['expire', key('set'), 60],
        ['del', key('set')],
        ['zrem', key('permits'), holder],
      ])
      const [name, ...words] = call
      const methods = [redis, model].map((of) => Reflect.get(of, name) as (...words: unknown[]) => unknown)
      const answers: unknown[] = []
      for (const [index, method] of methods.entries()) {
        answers.push(comparable(await method.apply([redis, model][index], words)))
      }
      expect(answers[1], `step ${step}: ${call.join(' ')}`).toEqual(answers[0])
      // What ends in a millisecond is over on both sides then.
      if (ttlMs === 1) await delay(4)
    }
  } finally {
    redis.disconnect()
  }
})

/** Times are told apart only from counts; sets have no order, nor have hosts that came in the same millisecond. */
function comparable(answer: unknown): unknown {
  if (Array.isArray(answer))
    return answer.map((part) => String(comparable(part))).toSorted((left, right) => (left < right ? -1 : 1))
  return typeof answer === 'number' && answer > 1000 ? 'a time' : answer
}
