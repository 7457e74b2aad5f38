import { createHash } from 'node:crypto'
import { ImageError } from '@disk-image/core'
import { createHttpClient } from '@disk-image/http'
import { writeFully } from '@disk-image/io'
import {
  demand,
  Network,
  Process,
  serveHttp,
  SimulatedDiskError,
  SimulatedFile,
  Simulation,
  wrongAnswer,
} from '@disk-image/testing/simulation'
import type { ScenarioResult, SimulatedAnswer, SimulatedRequest } from '@disk-image/testing/simulation'
import { httpSource } from '../../src/url/http-source.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const hosts = ['10.0.0.1', '10.0.0.2'] as const

/** A file on the web, which is replaced now and then, and what its servers know it again by. */
class Site {
  readonly versions: Set<string> = new Set()
  readonly knownBy: 'etag' | 'weak' | 'time' | 'none'
  readonly #simulation: Simulation
  readonly #redirects: boolean
  readonly #hasRanges: boolean
  #data: Buffer = Buffer.alloc(0)
  #changedMs = -1e6

  constructor(simulation: Simulation) {
    const { random } = simulation
    this.#simulation = simulation
    this.knownBy = random.pick(['etag', 'etag', 'weak', 'time', 'none'])
    this.#redirects = random.chance(0.3)
    this.#hasRanges = random.chance(0.8)
  }

  put(data: Buffer): void {
    this.#data = data
    this.versions.add(sha256(data))
    if (this.versions.size > 1) this.#changedMs = this.#simulation.nowMs
  }

  get data(): Buffer {
    return this.#data
  }

  answer(host: string, { path, headers }: SimulatedRequest): SimulatedAnswer {
    const [target] = hosts
    if (this.#redirects && path === '/disk') {
      return {
        status: 302,
        headers: { Location: `http://${target}/signed?key=${this.#simulation.random.below(99)}` },
      }
    }
    const now = Date.UTC(2030, 0, 1) + this.#simulation.nowMs
    const time = new Date(now - this.#simulation.nowMs + this.#changedMs).toUTCString()
    const etag = `"${sha256(this.#data).slice(0, 8)}"`
    const known: Record<Site['knownBy'], Record<string, string>> = {
      etag: { ETag: etag },
      weak: { ETag: `W/${etag}` },
      time: { 'Last-Modified': time, Date: new Date(now).toUTCString() },
      none: {},
    }
    const own: Record<string, string> = {
      ...known[this.knownBy],
      Server: host,
      ...(this.#hasRanges ? { 'Accept-Ranges': 'bytes' } : {}),
    }
    const condition = headers.get('if-range')
    const isSame = condition === undefined || condition === own['ETag'] || condition === own['Last-Modified']
    const [, first, last = ''] = /^bytes=(\d+)-(\d*)$/.exec(headers.get('range') ?? '') ?? []
    const { length } = this.#data
    if (first === undefined || !isSame || !this.#hasRanges)
      return { status: 200, headers: own, body: this.#data }
    const to = Math.min(last === '' ? length : Number(last), length - 1)
    if (Number(first) > to) return { status: 416, headers: { 'Content-Range': `bytes */${length}` } }
    const range = { 'Content-Range': `bytes ${first}-${to}/${length}` }
    return { status: 206, headers: { ...own, ...range }, body: this.#data.subarray(Number(first), to + 1) }
  }
}

/** Downloads from URLs whose servers redirect, replace what they have, lie, and go down. */
export async function web(seed: number): Promise<ScenarioResult> {
  const simulation = new Simulation(seed)
  const { random } = simulation
  const quiet = random.chance(0.1)
  const often = (most: number): number => (quiet || random.chance(0.3) ? 0 : random.spread(most / 10, most))
  const network = new Network(simulation, {
    refuses: often(0.3),
    silent: often(0.1),
    cuts: often(0.8),
    slow: often(0.1),
    cutWithinBytes: random.spread(1000, 300_000),
  })
  const [faults, lies, diskFails] = [often(0.4), often(0.4), often(0.01)]
  const site = new Site(simulation)
  const newData = (): Buffer => random.bytes(Math.floor(random.spread(1, 300_000)))
  site.put(newData())
  const up = (host: string): void =>
    serveHttp(simulation, network, `${host}:80`, (request, answer) => {
      const late = random.chance(faults) ? random.spread(1, 60_000) : random.spread(0.1, 50)
      simulation.at(late, `serve ${host}`, () => {
        const right = site.answer(host, request)
        answer(random.chance(faults) ? wrongAnswer(simulation, right, lies) : right)
      })
    })
  const restart = (): void => {
    const host = random.pick(hosts)
    network.down(`${host}:80`)
    simulation.at(random.spread(10, 60_000), `up ${host}`, () => up(host))
  }
  for (const host of hosts) up(host)
  const outcomes: string[] = []
  const where = new Process('client')

  async function downloads(client: ReturnType<typeof createHttpClient>): Promise<string> {
    const source = httpSource(`http://${hosts[random.below(2)] ?? ''}/disk`, { client })
    const file = new SimulatedFile(simulation, 400_000, {
      fails: diskFails,
      shortWrites: 0.1,
      mostMs: random.spread(1, 2000),
    })
    let at = 0
    const write = async (bytes: Uint8Array): Promise<void> => {
      const offset = at
      at += bytes.length
      await writeFully(file as never, bytes, offset)
    }
    const checksums = random.chance(0.4) ? [{ algorithm: 'sha256', value: sha256(site.data) }] : []
    try {
      await source.download({ write }, { checksums, connections: random.pick([1, 1, 2, 4]) })
      const hash = sha256(file.bytes.subarray(0, at))
      const isRight =
        checksums.length === 0 ? lies > 0 || site.versions.has(hash) : hash === checksums[0]?.value
      demand(isRight, simulation, `a file known by ${site.knownBy} was downloaded with other bytes`)
      return 'downloaded'
    } catch (error) {
      if (error instanceof SimulatedDiskError) return 'disk'
      if (error instanceof ImageError && !quiet) return error.code
      throw error
    } finally {
      demand(file.pending === 0, simulation, 'a download is over, and its disk is still written')
      await source.close()
    }
  }

  const result = await simulation.run(
    () =>
      where.run(async () => {
        await using client = createHttpClient({ allow: { privateAddresses: true }, retries: random.below(8) })
        const jobs = Array.from({ length: 2 + random.below(6) }, async () => {
          await new Promise((resolve) => setTimeout(resolve, random.spread(1, 30_000)))
          outcomes.push(await downloads(client))
        })
        for (let count = quiet ? 0 : random.below(6); count > 0; count -= 1) {
          const mishap = random.pick<() => void>([
            restart,
            () => site.put(random.chance(0.5) ? newData() : random.bytes(site.data.length)),
            () => (where.stoppedUntilMs = simulation.nowMs + random.spread(1, 200_000)),
            () => (simulation.wallOffsetMs += (random.chance(0.5) ? 1 : -1) * random.spread(100, 1e8)),
          ])
          simulation.at(random.spread(1, 60_000), 'mishap', mishap)
        }
        await Promise.all(jobs)
      }),
    24 * 3_600_000,
  )
  demand(network.openConnections === 0, simulation, 'connections are still open')
  return { ...result, outcomes }
}
