import { EventEmitter } from 'node:events'
import type { Process, Simulation } from './simulation.ts'
import { swap } from './simulation.ts'

/** How a direction of a connection behaves, from some byte on. */
export interface Cut {
  readonly atByte: number
  /** `stall`: nothing comes any more, and nobody says so. */
  readonly how: 'end' | 'reset' | 'stall'
}

/** How a network behaves. */
export interface NetworkOptions {
  /** Chances of what may happen to a connection. @default 0 */
  readonly refuses?: number | undefined
  readonly silent?: number | undefined
  /** That it breaks somewhere, in either direction. */
  readonly cuts?: number | undefined
  /** That it is slow: a segment takes seconds. */
  readonly slow?: number | undefined
  /** Before how many bytes it breaks then, at most. @default 200 000 */
  readonly cutWithinBytes?: number | undefined
}

/** One end of a connection, as the other side's segments come to it. */
interface End {
  readonly process: Process | undefined
  /** Takes a segment; false: it must be offered again later. */
  take(bytes: Uint8Array): boolean
  ended(): void
  reset(error: Error): void
}

const segmentSizes = [1, 17, 536, 1460, 4096, 16_384, 65_536] as const

/** One direction: segments arrive in their order, each a while after the one before. */
class Direction {
  readonly #simulation: Simulation
  readonly #name: string
  readonly #to: End
  readonly #latencyMs: number
  readonly #perSegmentMs: number
  readonly #most: number
  readonly #cut: Cut | undefined
  readonly #queue: { readonly bytes: Uint8Array; readonly done: (() => void) | undefined }[] = []
  #sent = 0
  #ends = false
  #busy = false
  #held: Uint8Array | undefined
  closed = false

  constructor(simulation: Simulation, name: string, to: End, options: NetworkOptions) {
    const { random } = simulation
    this.#simulation = simulation
    this.#name = name
    this.#to = to
    this.#latencyMs = random.spread(0.05, 80)
    this.#perSegmentMs = random.chance(options.slow ?? 0)
      ? random.spread(500, 20_000)
      : random.spread(0.01, 5)
    this.#most = random.pick(segmentSizes.slice(random.chance(0.1) ? 0 : 3) as [number, ...number[]])
    if (random.chance(options.cuts ?? 0)) {
      const how = random.pick<Cut['how']>(['end', 'reset', 'reset', 'stall'])
      this.#cut = { atByte: Math.floor(random.spread(1, options.cutWithinBytes ?? 200_000)), how }
    }
  }

  /** Bytes that have not arrived. */
  get pendingBytes(): number {
    return this.#queue.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** Bytes stay as they are until `done`. */
  send(bytes: Uint8Array, done?: () => void): void {
    if (this.closed) return
    this.#queue.push({ bytes, done })
    this.#pump(this.#latencyMs)
  }

  end(): void {
    this.#ends = true
    this.#pump(this.#latencyMs)
  }

  /** What was held back can be taken now. */
  resume(): void {
    const held = this.#held
    if (held === undefined || this.closed) return
    this.#held = undefined
    this.#deliver(held)
  }

  reset(): void {
    if (this.closed) return
    this.closed = true
    this.#simulation.at(
      this.#latencyMs,
      `${this.#name} reset`,
      () => this.#to.reset(failure('ECONNRESET')),
      this.#to.process,
    )
  }

  #pump(afterMs: number): void {
    if (this.#busy || this.closed || this.#held !== undefined) return
    const next = this.#queue[0]
    if (next === undefined && !this.#ends) return
    this.#busy = true
    const { random } = this.#simulation
    const left = this.#cut === undefined ? Number.POSITIVE_INFINITY : this.#cut.atByte - this.#sent
    const length = Math.min(next?.bytes.length ?? 0, 1 + random.below(this.#most), left)
    const waitMs = (afterMs + this.#perSegmentMs) * (0.5 + random.next())
    this.#simulation.at(
      waitMs,
      `${this.#name} ${length}`,
      () => {
        this.#busy = false
        if (this.closed) return
        if (left <= 0 && this.#cut !== undefined) return this.#break(this.#cut.how)
        if (next === undefined) {
          this.closed = true
          return this.#to.ended()
        }
        const segment = next.bytes.subarray(0, length)
        this.#sent += length
        if (length === next.bytes.length) this.#queue.shift()
        else this.#queue[0] = { bytes: next.bytes.subarray(length), done: next.done }
        if (length === next.bytes.length) next.done?.()
        this.#deliver(segment)
      },
      this.#to.process,
    )
  }

  #deliver(segment: Uint8Array): void {
    if (this.#to.take(segment)) this.#pump(0)
    else this.#held = segment
  }

  #break(how: Cut['how']): void {
    this.closed = true
    if (how === 'end') this.#to.ended()
    else if (how === 'reset') this.#to.reset(failure('ECONNRESET'))
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(`simulated ${code}`), { code })
}

/** The server's end of a connection. */
export interface ServerConnection {
  /** The bytes are lent for the call. */
  onData(bytes: Uint8Array): void
  onClose?(): void
}

/** What a server has in its hands. */
export interface ServerSide {
  write(bytes: Uint8Array): void
  end(): void
  reset(): void
  readonly closed: boolean
}

type Accept = (side: ServerSide) => ServerConnection

/** Servers by `host:port`, and the connections to them. It takes the place of `net.connect`. */
export class Network {
  readonly #simulation: Simulation
  readonly #servers = new Map<string, Accept>()
  readonly #open = new Map<SimulatedSocket, string>()
  options: NetworkOptions

  constructor(simulation: Simulation, options: NetworkOptions = {}) {
    this.#simulation = simulation
    this.options = options
    simulation.replace(() =>
      swap(
        process.getBuiltinModule('node:net'),
        'connect',
        (given: ConnectOptions) => new SimulatedSocket(this.#simulation, this, given),
      ),
    )
  }

  listen(where: string, accept: Accept): void {
    this.#servers.set(where, accept)
  }

  /** The server is gone, with all of its connections. */
  down(where: string): void {
    this.#servers.delete(where)
    for (const [socket, to] of this.#open) if (to === where) socket.resetByPeer()
  }

  serverAt(where: string): Accept | undefined {
    return this.#servers.get(where)
  }

  opened(socket: SimulatedSocket, where: string): void {
    this.#open.set(socket, where)
  }

  closed(socket: SimulatedSocket): void {
    this.#open.delete(socket)
  }

  /** Connections that clients have open. */
  get openConnections(): number {
    return this.#open.size
  }
}

interface ConnectOptions {
  readonly host: string
  readonly port: number
  readonly onread: { buffer(): Uint8Array; callback(length: number, buffer: Uint8Array): boolean }
}

/** As much of `net.Socket` as connections of our own use: it reads into memory that it is given. */
class SimulatedSocket extends EventEmitter implements End {
  readonly process: Process | undefined
  readonly #simulation: Simulation
  readonly #network: Network
  readonly #onread: ConnectOptions['onread']
  #toServer: Direction | undefined
  #toClient: Direction | undefined
  readonly #early: { bytes: Uint8Array; done: (() => void) | undefined }[] = []
  /** What came before it was stopped. */
  #rest: Uint8Array = new Uint8Array()
  #paused = false
  #endsWhenRead = false
  destroyed = false
  connecting = true

  constructor(simulation: Simulation, network: Network, { host, port, onread }: ConnectOptions) {
    super()
    this.process = simulation.process
    this.#simulation = simulation
    this.#network = network
    this.#onread = onread
    const where = `${host}:${port}`
    network.opened(this, where)
    const { random } = simulation
    const { refuses = 0, silent = 0 } = network.options
    if (random.chance(silent)) return
    simulation.at(
      random.spread(0.1, 120),
      `connect ${where}`,
      () => {
        if (this.destroyed) return
        const accept = network.serverAt(where)
        if (accept === undefined || random.chance(refuses)) this.destroy(failure('ECONNREFUSED'))
        else this.#connected(accept)
      },
      this.process,
    )
  }

  #connected(accept: Accept): void {
    const { options } = this.#network
    const toClient = (this.#toClient = new Direction(this.#simulation, 'down', this, options))
    const side: ServerSide = {
      write: (bytes) => toClient.send(bytes),
      end: () => toClient.end(),
      reset: () => toClient.reset(),
      get closed() {
        return toClient.closed
      },
    }
    const server = accept(side)
    this.#toServer = new Direction(
      this.#simulation,
      'up',
      {
        process: undefined,
        take: (bytes) => {
          server.onData(bytes)
          return true
        },
        ended: () => server.onClose?.(),
        reset: () => server.onClose?.(),
      },
      options,
    )
    this.connecting = false
    this.emit('connect')
    for (const { bytes, done } of this.#early.splice(0)) this.#toServer.send(bytes, done)
  }

  take(bytes: Uint8Array): boolean {
    if (this.destroyed) return true
    if (this.#paused) return false
    this.#read(bytes)
    return true
  }

  #read(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.length > 0 && !this.destroyed) {
      const memory = this.#onread.buffer()
      const length = Math.min(memory.length, rest.length)
      memory.set(rest.subarray(0, length))
      rest = rest.subarray(length)
      if (this.#onread.callback(length, memory)) continue
      this.#paused = true
      this.#rest = rest
      return
    }
  }

  ended(): void {
    if (this.destroyed) return
    if (this.#paused) {
      this.#endsWhenRead = true
      return
    }
    this.emit('end')
    this.destroy()
  }

  reset(error: Error): void {
    this.destroy(error)
  }

  resetByPeer(): void {
    this.#simulation.at(1, 'down server', () => this.destroy(failure('ECONNRESET')), this.process)
  }

  write(data: Uint8Array | string, done?: (error?: Error) => void): boolean {
    if (this.destroyed) {
      if (done !== undefined) process.nextTick(done, failure('EPIPE'))
      return false
    }
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (this.#toServer === undefined) this.#early.push({ bytes, done })
    else this.#toServer.send(bytes, done)
    return true
  }

  get writableLength(): number {
    return this.#toServer?.pendingBytes ?? this.#early.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  pause(): this {
    this.#paused = true
    return this
  }

  resume(): this {
    if (!this.#paused || this.destroyed) return this
    this.#paused = false
    // As in Node.js: what has come is read in a later turn.
    this.#simulation.at(
      0,
      'resume',
      () => {
        if (this.#paused || this.destroyed) return
        const rest = this.#rest
        this.#rest = new Uint8Array()
        this.#read(rest)
        if (this.#paused) return
        this.#toClient?.resume()
        if (!this.#endsWhenRead || this.#paused) return
        this.#endsWhenRead = false
        this.ended()
      },
      this.process,
    )
    return this
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#network.closed(this)
    this.#toServer?.reset()
    if (this.#toClient !== undefined) this.#toClient.closed = true
    process.nextTick(() => {
      if (error !== undefined) this.emit('error', error)
      this.emit('close', error !== undefined)
    })
    return this
  }

  setNoDelay(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}
