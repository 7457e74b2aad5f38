import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'

/** What lies between a client and a server. */
export interface LinkOptions {
  readonly port: number
  /** Milliseconds there and back: half of it each way. @default 0 */
  readonly roundTripMs?: number
  /**
   * Most bytes of one connection that are on their way at once, each until its confirmation would have come
   * back: what a TCP window is. It begins at ten segments and grows with what is confirmed. @default 3 MiB
   */
  readonly windowBytes?: number
  /** Bytes per second towards the clients, for all connections together. @default unlimited */
  readonly bytesPerSecond?: number | undefined
  /** Break a connection after so many bytes towards its client. @default never */
  readonly cutAfterBytes?: number | undefined
}

/** A link that is up. */
export interface Link {
  readonly port: number
  /** Connections that were broken on purpose. */
  readonly cuts: number
  close(): Promise<void>
}

/** Bytes of the first window: ten segments, as TCP has it. */
const firstWindowBytes = 14_480
/** Most bytes that go onto the link at once, so that connections take turns. */
const portionBytes = 64 * 1024
/** Bytes that wait for the link before the server is stopped. */
const backlogBytes = 512 * 1024

/** A bucket of bytes that fills steadily, and holds what comes in within 4 ms. */
class Rate {
  readonly #perMs: number
  readonly #depth: number
  #tokens: number
  #atMs = performance.now()

  constructor(bytesPerSecond: number) {
    this.#perMs = bytesPerSecond / 1000
    this.#depth = Math.max(portionBytes, this.#perMs * 4)
    this.#tokens = this.#depth
  }

  /** Takes the bytes, or says in how many milliseconds they may be asked for again. */
  take(bytes: number): number {
    const now = performance.now()
    this.#tokens = Math.min(this.#depth, this.#tokens + (now - this.#atMs) * this.#perMs)
    this.#atMs = now
    if (this.#tokens >= bytes) {
      this.#tokens -= bytes
      return 0
    }
    return Math.max(1, Math.ceil((bytes - this.#tokens) / this.#perMs))
  }
}

/** Acts in so many milliseconds, in the order in which it was asked; at once for none. */
class DelayLine {
  readonly #delayMs: number
  #waiting: { readonly atMs: number; readonly act: () => void }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(delayMs: number) {
    this.#delayMs = delayMs
  }

  push(act: () => void): void {
    if (this.#delayMs === 0) {
      act()
      return
    }
    this.#waiting.push({ atMs: performance.now() + this.#delayMs, act })
    this.#timer ??= setTimeout(() => this.#run(), this.#delayMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#waiting = []
  }

  #run(): void {
    this.#timer = undefined
    const now = performance.now()
    const due = this.#waiting.findIndex(({ atMs }) => atMs > now)
    for (const { act } of this.#waiting.splice(0, due === -1 ? this.#waiting.length : due)) act()
    const [next] = this.#waiting
    if (next !== undefined) this.#timer ??= setTimeout(() => this.#run(), Math.max(1, next.atMs - now))
  }
}

/** Puts a link of some delay, window and rate in front of a server on this machine. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const rate = options.bytesPerSecond === undefined ? undefined : new Rate(options.bytesPerSecond)
  const sockets = new Set<Socket>()
  let cuts = 0
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect(options.port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('close', () => upstream.destroy())
    // An end is passed on when everything before it has arrived; only a broken server breaks its client at once.
    upstream.on('close', (broken) => {
      if (broken) client.destroy()
    })
    const carrier = new Carrier(client, upstream, { ...options, rate }, () => {
      cuts += 1
    })
    carrier.start()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    get cuts() {
      return cuts
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

/** Carries one connection: requests are only delayed, answers also fill the window and the link. */
class Carrier {
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #rate: Rate | undefined
  readonly #windowBytes: number
  readonly #cutAfterBytes: number
  readonly #onCut: () => void
  readonly #requests: DelayLine
  readonly #answers: DelayLine
  readonly #confirmations: DelayLine
  readonly #queue: Buffer[] = []
  #queued = 0
  #window: number
  #onTheWay = 0
  #sent = 0
  #ended = false
  #timer: NodeJS.Timeout | undefined
  #unconfirmed = 0
  #clientIsFull = false

  constructor(
    client: Socket,
    upstream: Socket,
    options: LinkOptions & { readonly rate: Rate | undefined },
    onCut: () => void,
  ) {
    const { roundTripMs = 0, windowBytes = 3 * 1024 ** 2, rate, cutAfterBytes = Infinity } = options
    this.#client = client
    this.#upstream = upstream
    this.#rate = rate
    this.#windowBytes = windowBytes
    this.#cutAfterBytes = cutAfterBytes
    this.#onCut = onCut
    this.#window = roundTripMs === 0 ? windowBytes : Math.min(windowBytes, firstWindowBytes)
    this.#requests = new DelayLine(roundTripMs / 2)
    this.#answers = new DelayLine(roundTripMs / 2)
    this.#confirmations = new DelayLine(roundTripMs / 2)
  }

  start(): void {
    const [client, upstream] = [this.#client, this.#upstream]
    client.on('data', (bytes: Buffer) => this.#requests.push(() => upstream.write(bytes)))
    client.on('end', () => this.#requests.push(() => upstream.end()))
    client.on('drain', () => this.#drain())
    client.on('close', () => {
      clearTimeout(this.#timer)
      for (const line of [this.#requests, this.#answers, this.#confirmations]) line.stop()
    })
    upstream.on('data', (bytes: Buffer) => this.#take(bytes))
    upstream.on('end', () => {
      this.#ended = true
      this.#send()
    })
  }

  #take(bytes: Buffer): void {
    this.#queue.push(bytes)
    this.#queued += bytes.length
    if (this.#queued >= backlogBytes) this.#upstream.pause()
    this.#send()
  }

  #send(): void {
    while (this.#maySend()) {
      const [first = Buffer.alloc(0)] = this.#queue
      const length = Math.min(first.length, portionBytes, Math.max(1, this.#window - this.#onTheWay))
      const waitMs = this.#rate?.take(length) ?? 0
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined
          this.#send()
        }, waitMs)
        return
      }
      if (length === first.length) this.#queue.shift()
      else this.#queue[0] = first.subarray(length)
      this.#queued -= length
      this.#onTheWay += length
      this.#sent += length
      this.#answers.push(() => this.#arrive(first.subarray(0, length)))
      if (this.#sent >= this.#cutAfterBytes) {
        this.#answers.push(() => this.#cut())
        this.#upstream.pause()
        this.#queue.length = 0
        return
      }
    }
    if (this.#queued < backlogBytes / 2 && this.#upstream.isPaused()) this.#upstream.resume()
    if (this.#ended && this.#queue.length === 0) this.#answers.push(() => this.#client.end())
  }

  #maySend(): boolean {
    const isIdle = this.#timer === undefined && !this.#client.destroyed && !this.#clientIsFull
    return isIdle && this.#queue.length > 0 && this.#onTheWay < this.#window
  }

  #arrive(bytes: Buffer): void {
    if (this.#client.destroyed) return
    if (this.#client.write(bytes)) {
      this.#confirm(bytes.length)
      return
    }
    // What the client hasn't taken yet is not confirmed, and nothing more is sent.
    this.#clientIsFull = true
    this.#unconfirmed += bytes.length
  }

  #drain(): void {
    this.#clientIsFull = false
    this.#confirm(this.#unconfirmed)
    this.#unconfirmed = 0
    this.#send()
  }

  #confirm(bytes: number): void {
    this.#confirmations.push(() => {
      this.#onTheWay -= bytes
      this.#window = Math.min(this.#windowBytes, this.#window + bytes)
      this.#send()
    })
  }

  #cut(): void {
    this.#onCut()
    this.#client.resetAndDestroy()
    this.#upstream.destroy()
  }
}
