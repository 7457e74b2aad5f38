import { createHash } from 'node:crypto'
import { createHttp, createConnectionPool, ownConnections, resolveTimeouts } from '@disk-image/http'
import { ImageError, MiB } from '@disk-image/core'
import type { OverlappedSink } from '@disk-image/core'
import { writeFully } from '@disk-image/io'
import {
  demand,
  Network,
  Process,
  flipBit,
  serveHttp,
  SimulatedDiskError,
  SimulatedFile,
  Simulation,
  wrongAnswer,
} from '@disk-image/testing/simulation'
import type { SimulatedAnswer, SimulatedRequest, ScenarioResult } from '@disk-image/testing/simulation'
import { createGlanceClient } from '../../src/client/create-glance-client.ts'
import { TokenSession } from '../../src/session/token-session.ts'

/** An image as the simulated service has it. */
interface Image {
  readonly id: string
  status: string
  data: Buffer
  /** Everything that it ever was. */
  readonly versions: Set<string>
}

const sha512 = (bytes: Uint8Array): string => createHash('sha512').update(bytes).digest('hex')
const hosts = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const
const identity = '10.0.0.9:5000'

/** Glance on some hosts with one database, and Keystone; what they do wrong is left to the seed. */
class Cloud {
  readonly images = new Map<string, Image>()
  readonly tokenLifeMs: number
  signIns = 0
  readonly #simulation: Simulation
  readonly #network: Network
  readonly #tokens = new Map<string, number>()
  /** The chance that a request meets a fault. */
  readonly #faults: number
  /** The chance that such a fault changes bytes or images. */
  readonly #lies: number
  readonly #signsIn: boolean

  constructor(
    simulation: Simulation,
    network: Network,
    options: { faults: number; lies: number; signsIn: boolean },
  ) {
    const { random } = simulation
    this.#simulation = simulation
    this.#network = network
    this.#faults = options.faults
    this.#lies = options.lies
    this.#signsIn = options.signsIn
    // An upload whose token ends before its last byte is one more thing that may go wrong.
    this.tokenLifeMs = random.spread(options.faults > 0 ? 2000 : 100_000, 10_000_000)
    for (const host of hosts) this.up(`${host}:9292`)
    this.up(identity)
  }

  up(where: string): void {
    serveHttp(this.#simulation, this.#network, where, (request, answer) => {
      const { random } = this.#simulation
      const late = random.chance(this.#faults) ? random.spread(1, 60_000) : random.spread(0.1, 50)
      this.#simulation.at(late, `serve ${where}`, () => {
        const right = where === identity ? this.#signIn() : this.#serve(request)
        answer(random.chance(this.#faults) ? wrongAnswer(this.#simulation, right, this.#lies) : right)
      })
    })
  }

  /** A server goes down and comes back; Keystone forgets its tokens. */
  restart(): void {
    const { random } = this.#simulation
    const where = random.pick([identity, ...hosts.map((host) => `${host}:9292`)])
    this.#network.down(where)
    if (where === identity) this.#tokens.clear()
    this.#simulation.at(random.spread(10, 100_000), `up ${where}`, () => this.up(where))
  }

  /** Somebody takes an image for another. */
  replace(): void {
    const { random } = this.#simulation
    const image = [...this.images.values()][random.below(this.images.size)]
    if (image?.status === 'active') this.put(image, random.bytes(image.data.length))
  }

  put(image: Image, data: Buffer): void {
    image.data = data
    image.status = 'active'
    image.versions.add(sha512(data))
  }

  #signIn(): SimulatedAnswer {
    const { random, nowMs } = this.#simulation
    const token = random.bytes(12).toString('hex')
    this.#tokens.set(token, nowMs + this.tokenLifeMs)
    this.signIns += 1
    // By the server's clock, which is right.
    const [now, end] = [0, this.tokenLifeMs].map((ms) => new Date(Date.UTC(2030, 0, 1) + nowMs + ms))
    const issued = random.chance(0.8) ? { issued_at: now?.toISOString() } : {}
    return {
      status: 201,
      headers: { 'X-Subject-Token': token, Date: now?.toUTCString() ?? '' },
      body: JSON.stringify({ token: { ...issued, expires_at: end?.toISOString(), catalog: [] } }),
    }
  }

  #serve(request: SimulatedRequest): SimulatedAnswer {
    const { method, path, headers } = request
    if (
      this.#signsIn &&
      (this.#tokens.get(headers.get('x-auth-token') ?? '') ?? 0) < this.#simulation.nowMs
    ) {
      return { status: 401, body: 'sign in' }
    }
    if (path.startsWith('/v2/images?')) return json({ images: [] })
    const [, id = '', file] = /^\/v2\/images\/([^/]+)(\/file)?$/.exec(path) ?? []
    const image = this.images.get(id)
    if (image === undefined) return { status: 404 }
    if (method === 'DELETE') {
      this.images.delete(id)
      return { status: 204 }
    }
    if (method === 'PUT') return this.#take(image, request)
    if (file !== undefined) return this.#data(image, headers.get('range'))
    const known = image.status === 'active'
    return json({
      id,
      status: image.status,
      size: known ? image.data.length : null,
      os_hash_algo: known ? 'sha512' : null,
      os_hash_value: known ? sha512(image.data) : null,
    })
  }

  #take(image: Image, { body }: SimulatedRequest): SimulatedAnswer {
    if (image.status !== 'queued') return { status: 409 }
    image.status = 'saving'
    const { random } = this.#simulation
    const data = random.chance(this.#lies) ? flipBit(random, body) : Buffer.from(body)
    this.#simulation.at(random.spread(1, 5000), 'saved', () => this.put(image, data))
    return { status: 204 }
  }

  #data({ data, status }: Image, range: string | undefined): SimulatedAnswer {
    if (status !== 'active') return { status: 204 }
    const [, first, last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
    if (first === undefined) return { status: 200, body: data }
    const from = Number(first)
    const to = last === '' ? data.length - 1 : Math.min(Number(last), data.length - 1)
    if (from > to) return { status: 416 }
    return {
      status: 206,
      headers: { 'Content-Range': `bytes ${from}-${to}/${data.length}` },
      body: data.subarray(from, to + 1),
    }
  }
}

function json(value: object): SimulatedAnswer {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(value) }
}

/** A client of Glance downloads and uploads, several things at once, on a bad day. */
export async function glance(seed: number): Promise<ScenarioResult> {
  const simulation = new Simulation(seed)
  const { random } = simulation
  const quiet = random.chance(0.1)
  const often = (most: number): number => (quiet || random.chance(0.3) ? 0 : random.spread(most / 10, most))
  const network = new Network(simulation, {
    refuses: often(0.3),
    silent: often(0.1),
    cuts: often(0.7),
    slow: often(0.1),
  })
  const signsIn = random.chance(0.5)
  const lies = often(0.5)
  const cloud = new Cloud(simulation, network, { faults: often(0.5), lies, signsIn })
  const diskFails = often(0.02)
  const where = new Process('client')
  const outcomes: string[] = []

  let made = 0
  const newImage = (status: string): Image => {
    made += 1
    const image: Image = { id: `image-${made}`, status, data: Buffer.alloc(0), versions: new Set() }
    cloud.images.set(image.id, image)
    return image
  }
  const size = (): number =>
    Math.floor(random.chance(0.005) ? random.spread(MiB, 12 * MiB) : random.spread(1, 300_000))
  const limits = random.chance(0.3)
    ? { stallTimeoutMs: 5000, idleTimeoutMs: 2000, callTimeoutMs: 5000, headersTimeoutMs: 2000 }
    : {}

  async function downloads(
    client: ReturnType<typeof createGlanceClient>,
    image: Image,
    signal: AbortSignal,
  ): Promise<string> {
    const file = new SimulatedFile(simulation, image.data.length, {
      fails: diskFails,
      shortWrites: 0.1,
      mostMs: random.spread(1, 5000),
    })
    let at = 0
    const sink: OverlappedSink = {
      write: async (bytes) => {
        const offset = at
        at += bytes.length
        await writeFully(file as never, bytes, offset)
      },
      ...(random.chance(0.5)
        ? { writeAt: (bytes: Uint8Array, offset: number) => writeFully(file as never, bytes, offset) }
        : {}),
    } as OverlappedSink
    const connections = random.pick([1, 1, 2, 4])
    try {
      const report = await client.download(image.id, sink, { connections, signal })
      demand(file.pending === 0, simulation, 'a download is whole before its last write is')
      demand(report.hash?.verified === true, simulation, 'a download was not verified')
      demand(
        sha512(file.bytes) === report.hash.value && image.versions.has(report.hash.value),
        simulation,
        `a download of ${image.id} ended with other bytes`,
      )
      return 'downloaded'
    } catch (error) {
      demand(file.pending === 0, simulation, 'a download is over, and its disk is still written')
      return failed(error, signal)
    }
  }

  function failed(error: unknown, signal: AbortSignal): string {
    if (signal.aborted && error === signal.reason) return 'aborted'
    if (error instanceof SimulatedDiskError) return 'disk'
    if (error instanceof ImageError && !quiet) return error.code
    throw error
  }

  async function uploads(
    client: ReturnType<typeof createGlanceClient>,
    signal: AbortSignal,
  ): Promise<string> {
    const image = newImage('queued')
    const data = random.bytes(size())
    const source = {
      ...(random.chance(0.7) ? { size: data.length } : {}),
      open: async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < data.length; at += 70_000) yield data.subarray(at, at + 70_000)
      },
    }
    try {
      const report = await client.upload(image.id, source, { signal })
      demand(
        image.status === 'active' && image.versions.size === 1,
        simulation,
        `an upload is over, and the image is ${image.status} with ${image.versions.size} versions`,
      )
      demand(
        !report.hash?.verified || image.data.equals(data),
        simulation,
        'the service has other bytes than were sent',
      )
      demand(report.hash?.verified === true || lies > 0, simulation, 'an upload was not verified')
      return 'uploaded'
    } catch (error) {
      return failed(error, signal)
    }
  }

  const result = await simulation.run(
    () =>
      where.run(async () => {
        const timeouts = resolveTimeouts(limits)
        const pool = createConnectionPool()
        const session = new TokenSession({
          http: createHttp(timeouts, ownConnections(timeouts, {}, pool)),
          type: 'password',
          auth: {
            authUrl: `http://${identity}/v3`,
            username: 'u',
            password: 'simulated',
            userDomainId: 'd',
            projectId: 'p',
          },
          retries: 3,
          callTimeoutMs: timeouts.callTimeoutMs,
          region: undefined,
          interfaces: ['public'],
          endpointOverrides: {},
          serviceNames: {},
          serviceTypes: {},
        })
        await using client = createGlanceClient({
          ...limits,
          endpoint: hosts.slice(0, 1 + random.below(hosts.length)).map((host) => `http://${host}:9292`),
          session: signsIn ? session : undefined,
        })
        const images = Array.from({ length: 1 + random.below(3) }, () => {
          const image = newImage('active')
          cloud.put(image, random.bytes(size()))
          return image
        })
        const jobs = Array.from({ length: 2 + random.below(8) }, async (_, index) => {
          await new Promise((resolve) => setTimeout(resolve, random.spread(1, 30_000)))
          const controller = new AbortController()
          const untilMs = random.chance(0.1) ? random.spread(1, 60_000) : undefined
          const timer =
            untilMs === undefined
              ? undefined
              : setTimeout(() => controller.abort(new Error('enough')), untilMs)
          const job = random.chance(0.7)
            ? downloads(client, images[index % images.length] as Image, controller.signal)
            : uploads(client, controller.signal)
          outcomes.push(await job)
          clearTimeout(timer)
        })
        const jump = (): void => {
          simulation.wallOffsetMs += (random.chance(0.5) ? 1 : -1) * random.spread(100, 1e8)
        }
        for (let mishaps = random.below(6); mishaps > 0; mishaps -= 1) {
          const mishap = random.pick<() => void>([
            () => cloud.restart(),
            () => cloud.replace(),
            () => (where.stoppedUntilMs = simulation.nowMs + random.spread(1, 300_000)),
            jump,
          ])
          simulation.at(random.spread(1, 200_000), 'mishap', quiet ? jump : mishap)
        }
        await Promise.all(jobs)
        const most = 2 + simulation.nowMs / (0.7 * cloud.tokenLifeMs)
        demand(!quiet || cloud.signIns <= most, simulation, `${cloud.signIns} tokens were asked for`)
        pool.close()
      }),
    24 * 3_600_000,
  )
  demand(network.openConnections === 0, simulation, 'connections are still open')
  return { ...result, outcomes }
}
