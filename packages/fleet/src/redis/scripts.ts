import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** Runs one of the scripts. A key and its value never become part of a script's text. */
export function runScript(
  redis: Redis,
  script: string,
  keys: readonly string[],
  values: readonly (string | number)[],
): Promise<unknown> {
  return redis.eval(script, keys.length, ...keys, ...values)
}

/** How long it is remembered who had a lease that was not given back: longer than any process is stopped. */
const keepOwnerMs = 35 * 24 * 3600 * 1000

/**
 * Takes all of some leases, or none. KEYS: the leases, as many owners, then the counter of fencing tokens. ARGV: holder,
 * ttl in ms, what the owners say from now on. Returns {token, what each owner said before}, or {0, ms until the first
 * of them may be free}.
 */
export const acquireLease: string = `
local count = (#KEYS - 1) / 2
for index = 1, count do
  local holder = redis.call('GET', KEYS[index])
  if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[index])} end
end
local answer = {redis.call('INCR', KEYS[#KEYS])}
for index = 1, count do
  table.insert(answer, redis.call('GET', KEYS[count + index]))
  redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2])
  redis.call('SET', KEYS[count + index], ARGV[3], 'PX', ${keepOwnerMs})
end
return answer`

/**
 * Keeps leases; those that ran out too, where nobody has had them since. KEYS: the leases, as many owners, then the
 * job's cancellation. ARGV: holder, ttl in ms, submission, what the owners say. Returns 0: lost, 1: kept, 2: kept, but
 * the job was cancelled.
 */
export const renewLease: string = `
local count = (#KEYS - 1) / 2
for index = 1, count do
  local holder = redis.call('GET', KEYS[index])
  if holder and holder ~= ARGV[1] then return 0 end
  if redis.call('GET', KEYS[count + index]) ~= ARGV[4] then return 0 end
end
for index = 1, count do redis.call('SET', KEYS[index], ARGV[1], 'PX', ARGV[2]) end
if redis.call('GET', KEYS[#KEYS]) == ARGV[3] then return 2 end
return 1`

/**
 * Notes a job's outcome, while its leases are held. KEYS: the leases, then as many outcomes. ARGV: holder,
 * outcome, ttl in ms. Returns 1, or 0 where a lease was lost.
 */
export const commitOutcome: string = `
local count = #KEYS / 2
for index = 1, count do
  if redis.call('GET', KEYS[index]) ~= ARGV[1] then return 0 end
end
for index = 1, count do redis.call('SET', KEYS[count + index], ARGV[2], 'PX', ARGV[3]) end
return 1`

/** Gives leases back, where they are still held. KEYS: the leases, then as many owners. ARGV: holder, what the owners say. */
export const releaseLease: string = `
local count = #KEYS / 2
for index = 1, count do
  if redis.call('GET', KEYS[index]) == ARGV[1] then redis.call('DEL', KEYS[index]) end
  if redis.call('GET', KEYS[count + index]) == ARGV[2] then redis.call('DEL', KEYS[count + index]) end
end
return 1`

/**
 * Takes or keeps one of a number of permits. KEYS: the permits. ARGV: holder, how many there are, ttl in ms.
 * Returns 1, or 0 where all are taken. The time is the server's, so that no worker's clock matters.
 */
export const takePermit: string = `
local now = redis.call('TIME')
local nowMs = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], nowMs + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
return 1`

/**
 * Says that a worker is there. KEYS: the workers, then the hosts of each back end it serves. ARGV: worker, what it
 * says of itself, ttl in ms, host.
 */
export const beat: string = `
local now = redis.call('TIME')
local untilMs = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], untilMs .. ' ' .. ARGV[2])
for index = 2, #KEYS do redis.call('ZADD', KEYS[index], untilMs, ARGV[4]) end
return untilMs`

/** Hosts that are there. KEYS: the hosts of a back end. */
export const liveHosts: string = `
local now = redis.call('TIME')
local nowMs = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs)
return redis.call('ZRANGE', KEYS[1], 0, -1)`

/** Workers that are there, as what they say of themselves; the others are forgotten. KEYS: the workers. */
export const liveWorkers: string = `
local now = redis.call('TIME')
local nowMs = now[1] * 1000 + math.floor(now[2] / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local untilMs, text = string.match(all[index + 1], '^(%d+) (.*)$')
  if untilMs and tonumber(untilMs) > nowMs then table.insert(found, text)
  else redis.call('HDEL', KEYS[1], all[index]) end
end
return found`

/** Names of what the fleet keeps in Redis. The engine's own keys begin with the same prefix. */
export class FleetKeys {
  readonly prefix: string

  constructor(prefix: string = 'disk-image') {
    this.prefix = prefix
  }

  /** The queue of a back end. */
  queue(backend: string): string {
    return `volumes-${backend}`
  }

  lease(destination: string): string {
    return this.#key('lease', digest(destination))
  }

  /** The process that has a destination, or had it and did not give it back. */
  owner(destination: string): string {
    return this.#key('owner', digest(destination))
  }

  /** The last job that filled a destination. */
  outcome(destination: string): string {
    return this.#key('outcome', digest(destination))
  }

  fence(): string {
    return this.#key('fence')
  }

  cancelled(jobId: string): string {
    return this.#key('cancelled', jobId)
  }

  /** Hosts that had no room for a job. */
  avoided(jobId: string): string {
    return this.#key('avoided', jobId)
  }

  /** Jobs whose upload has begun, so that a whole image is known for their own. */
  begun(jobId: string): string {
    return this.#key('begun', jobId)
  }

  permits(name: string): string {
    return this.#key('permits', name)
  }

  hosts(backend: string): string {
    return this.#key('hosts', backend)
  }

  backends(): string {
    return this.#key('backends')
  }

  workers(): string {
    return this.#key('workers')
  }

  cancelChannel(): string {
    return this.#key('cancel')
  }

  #key(...parts: readonly string[]): string {
    return [this.prefix, 'fleet', ...parts].join(':')
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 40)
}
