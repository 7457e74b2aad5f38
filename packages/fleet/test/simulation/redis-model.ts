import type { Simulation } from '@disk-image/testing/simulation'
import {
  acquireLease,
  beat,
  commitOutcome,
  liveHosts,
  releaseLease,
  renewLease,
  takePermit,
} from '../../src/redis/scripts.ts'

type Value = string | Set<string> | Map<string, string>

function halves(keys: readonly string[]): readonly [readonly string[], readonly string[]] {
  return [keys.slice(0, keys.length / 2), keys.slice(keys.length / 2)]
}

/** What the fleet asks of Redis, and what it answers: the scripts as functions, at the server's own time. */
export class RedisModel {
  readonly #nowMs: () => number
  readonly #values = new Map<string, { value: Value; untilMs: number }>()
  readonly #scripts: Readonly<
    Record<string, (keys: readonly string[], values: readonly string[]) => unknown>
  > = {
    [acquireLease]: (keys, [holder = '', ttl, record = '']) => {
      const [leases, owners] = halves(keys.slice(0, -1))
      const other = leases.find((key) => ![null, holder].includes(this.get(key)))
      if (other !== undefined) return [0, this.#leftMs(other)]
      const token = Number(this.get(keys.at(-1) ?? '') ?? 0) + 1
      this.#put(keys.at(-1) ?? '', String(token))
      return [
        token,
        ...leases.map((key, index) => {
          const owner = owners[index] ?? ''
          const before = this.get(owner)
          this.#put(key, holder, Number(ttl))
          this.#put(owner, record, 35 * 24 * 3600 * 1000)
          return before
        }),
      ]
    },
    [renewLease]: (keys, [holder = '', ttl, submission, record]) => {
      const [leases, owners] = halves(keys.slice(0, -1))
      const isKept = leases.every(
        (key, index) => [null, holder].includes(this.get(key)) && this.get(owners[index] ?? '') === record,
      )
      if (!isKept) return 0
      for (const key of leases) this.#put(key, holder, Number(ttl))
      return this.get(keys.at(-1) ?? '') === submission ? 2 : 1
    },
    [commitOutcome]: (keys, [holder, outcome = '', ttl]) => {
      const count = keys.length / 2
      if (keys.slice(0, count).some((key) => this.get(key) !== holder)) return 0
      for (const key of keys.slice(count)) this.#put(key, outcome, Number(ttl))
      return 1
    },
    [releaseLease]: (keys, [holder, record]) => {
      const [leases, owners] = halves(keys)
      for (const key of leases) if (this.get(key) === holder) this.#values.delete(key)
      for (const key of owners) if (this.get(key) === record) this.#values.delete(key)
      return 1
    },
    [takePermit]: ([key = ''], [holder = '', count, ttl]) => {
      const held = this.#members(key)
      if (!held.has(holder) && held.size >= Number(count)) return 0
      held.set(holder, String(this.#nowMs() + Number(ttl)))
      this.#put(key, held, Number(ttl) * 2)
      return 1
    },
    [beat]: ([, ...backends], [, , ttl, host = '']) => {
      const untilMs = this.#nowMs() + Number(ttl)
      for (const key of backends) this.#put(key, this.#members(key).set(host, String(untilMs)))
      return untilMs
    },
    [liveHosts]: ([key = '']) => {
      const live = this.#members(key)
      return [...live.keys()].toSorted(
        (left, right) => Number(live.get(left)) - Number(live.get(right)) || (left < right ? -1 : 1),
      )
    },
  }

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  eval(script: string, count: number, ...rest: (string | number)[]): unknown {
    const words = rest.map(String)
    const run = this.#scripts[script]
    if (run === undefined) throw new Error('The model has no such script')
    return run(words.slice(0, count), words.slice(count))
  }

  get(key: string): string | null {
    return (this.#find(key) as string | undefined) ?? null
  }

  set(key: string, value: string, _unit: 'PX', ttlMs: number): 'OK' {
    this.#put(key, value, ttlMs)
    return 'OK'
  }

  sadd(key: string, ...members: string[]): number {
    const set = (this.#find(key) as Set<string> | undefined) ?? new Set()
    const before = set.size
    for (const member of members) set.add(member)
    if (before === 0) this.#put(key, set)
    return set.size - before
  }

  sismember(key: string, member: string): number {
    return (this.#find(key) as Set<string> | undefined)?.has(member) === true ? 1 : 0
  }

  smembers(key: string): string[] {
    return [...((this.#find(key) as Set<string> | undefined) ?? [])]
  }

  expire(key: string, seconds: number): number {
    return this.#expire(key, seconds * 1000)
  }

  del(key: string): number {
    return this.#find(key) !== undefined && this.#values.delete(key) ? 1 : 0
  }

  zrem(key: string, member: string): number {
    return (this.#find(key) as Map<string, string> | undefined)?.delete(member) === true ? 1 : 0
  }

  #find(key: string): Value | undefined {
    const found = this.#values.get(key)
    if (found === undefined || found.untilMs > this.#nowMs()) return found?.value
    this.#values.delete(key)
    return undefined
  }

  #put(key: string, value: Value, ttlMs: number = Number.POSITIVE_INFINITY): void {
    this.#values.set(key, { value, untilMs: this.#nowMs() + ttlMs })
  }

  #expire(key: string, ttlMs: number): number {
    const value = this.#find(key)
    if (value !== undefined) this.#put(key, value, ttlMs)
    return value === undefined ? 0 : 1
  }

  #leftMs(key: string): number {
    return Math.round((this.#values.get(key)?.untilMs ?? 0) - this.#nowMs())
  }

  /** Of a sorted set, without those that are over. */
  #members(key: string): Map<string, string> {
    const all = (this.#find(key) as Map<string, string> | undefined) ?? new Map<string, string>()
    for (const [member, untilMs] of all) if (Number(untilMs) <= this.#nowMs()) all.delete(member)
    return all
  }
}

/** A worker's connection to it: slow, cut off for a while, or without an answer to what was done. */
export class RedisLink {
  /** Until then nothing gets through. */
  cutUntilMs = 0
  readonly #simulation: Simulation
  readonly #model: RedisModel
  readonly #timeoutMs: number
  readonly #losses: number
  readonly #isDown: () => boolean
  readonly #onDone: (script: string, answer: unknown, context: unknown) => void
  readonly #contextOf: () => unknown

  constructor(
    simulation: Simulation,
    model: RedisModel,
    options: {
      readonly timeoutMs: number
      /** The chance that a command or its answer is lost. */
      readonly losses: number
      /** Whether the server is down. */
      readonly isDown: () => boolean
      readonly contextOf: () => unknown
      /** Told of every command when the server has done it. */
      readonly onDone: (script: string, answer: unknown, context: unknown) => void
    },
  ) {
    this.#simulation = simulation
    this.#model = model
    this.#timeoutMs = options.timeoutMs
    this.#losses = options.losses
    this.#isDown = options.isDown
    this.#contextOf = options.contextOf
    this.#onDone = options.onDone
  }

  /** As ioredis's client: every command that the model has. */
  client(): RedisModel {
    return new Proxy(this.#model, {
      get: (model, name: string) =>
        name === 'then'
          ? undefined
          : (...words: unknown[]) =>
              this.call(() => {
                const answer = (model as unknown as Record<string, (...words: unknown[]) => unknown>)[name]?.(
                  ...words,
                )
                return answer
              }, String(words[0])),
    })
  }

  /** Has something done at the server. Its answer may take a while, or never come. */
  call<Answer>(act: () => Answer, what = ''): Promise<Answer> {
    const { random, process: caller } = this.#simulation
    const context = this.#contextOf()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('Command timed out')), this.#timeoutMs)
      const isCut = (): boolean =>
        this.#isDown() || this.cutUntilMs > this.#simulation.nowMs || random.chance(this.#losses)
      if (isCut()) return
      this.#simulation.at(random.spread(0.05, 50), 'redis', () => {
        if (caller?.dead === true && random.chance(0.5)) return
        const answer = act()
        this.#onDone(what, answer, context)
        if (isCut()) return
        this.#simulation.at(
          random.spread(0.05, 50),
          'answer',
          () => {
            clearTimeout(timer)
            resolve(answer)
          },
          caller,
        )
      })
    })
  }
}
