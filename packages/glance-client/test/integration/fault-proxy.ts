import net from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** How a connection ends before its time: a reset, an orderly end, or silence. */
export type Ending = 'reset' | 'end' | 'stall'

/** What is done to one request. Offsets count bytes of a body. */
export type Fault =
  | { readonly kind: 'pass' }
  /** Answers itself and closes. */
  | { readonly kind: 'answer'; readonly text: string }
  | { readonly kind: 'cut-answer'; readonly after: number; readonly how: Ending }
  | { readonly kind: 'cut-request'; readonly after: number; readonly how: Ending }
  /** The whole request goes through; the answer does not. */
  | { readonly kind: 'lose-answer'; readonly how: Ending }
  | { readonly kind: 'corrupt-answer'; readonly at: number }
  /** Changes the answer's head. */
  | { readonly kind: 'edit-head'; edit(head: string): string }
  | { readonly kind: 'endless-headers' }

/** A request as the proxy sees it. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly head: string
  /** How many requests with this method and path came before. */
  readonly count: number
}

/** A proxy in front of a real server that fails as told. */
export interface FaultProxy extends AsyncDisposable {
  readonly url: string
  readonly seen: SeenRequest[]
  /** Decides about each request. */
  rule: (request: SeenRequest) => Fault
}

const pass: Fault = { kind: 'pass' }

/** Starts a proxy; every request gets a connection of its own behind it. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const counts = new Map<string, number>()
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    sockets.add(client)
    client.on('error', () => undefined)
    client.on('close', () => sockets.delete(client))
    let bytes = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      const end = bytes.indexOf('\r\n\r\n')
      if (end === -1) return
      client.removeListener('data', onData)
      client.pause()
      const head = bytes.toString('latin1', 0, end)
      const [method = '', path = ''] = head.split(' ')
      const key = `${method} ${path}`
      const count = counts.get(key) ?? 0
      counts.set(key, count + 1)
      const request = { method, path, head, count }
      proxy.seen.push(request)
      forward(client, request, bytes.subarray(end + 4), proxy.rule(request))
    }
    client.on('data', onData)
  })
  const forward = (client: Socket, request: SeenRequest, rest: Buffer, fault: Fault): void => {
    if (fault.kind === 'answer') {
      client.end(fault.text)
      client.resume()
      return
    }
    if (fault.kind === 'endless-headers') {
      endlessHeaders(client)
      return
    }
    const upstream = net.connect(Number(port), hostname)
    sockets.add(upstream)
    upstream.on('close', () => sockets.delete(upstream))
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
    upstream.write(`${request.head.replace(/^connection:.*$/im, 'Connection: close')}\r\n\r\n`, 'latin1')
    pipeRequest(client, upstream, rest, fault)
    pipeAnswer(upstream, client, fault)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    rule: () => pass,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
  return proxy
}

function endlessHeaders(client: Socket): void {
  client.write('HTTP/1.1 200 OK\r\n')
  const timer = setInterval(() => client.write(`X-Filler-${Math.random()}: ${'x'.repeat(4000)}\r\n`), 1)
  client.on('close', () => clearInterval(timer))
  client.resume()
}

function end(how: Ending, ...sockets: Socket[]): void {
  for (const socket of sockets) {
    if (how === 'reset') socket.resetAndDestroy()
    else if (how === 'end') socket.end()
  }
}

function pipeRequest(client: Socket, upstream: Socket, rest: Buffer, fault: Fault): void {
  let sent = 0
  let cut = false
  const take = (chunk: Buffer): void => {
    if (cut) return
    const left = fault.kind === 'cut-request' ? fault.after - sent : Number.POSITIVE_INFINITY
    const part = chunk.subarray(0, Math.min(left, chunk.length))
    sent += part.length
    if (part.length > 0 && !upstream.write(part)) {
      client.pause()
      upstream.once('drain', () => client.resume())
    }
    if (fault.kind === 'cut-request' && sent >= fault.after) {
      cut = true
      end(fault.how, upstream)
      end(fault.how, client)
    }
  }
  if (rest.length > 0 || (fault.kind === 'cut-request' && fault.after === 0)) take(rest)
  client.on('data', take)
  client.on('end', () => {
    if (!cut) upstream.end()
  })
  client.resume()
}

function pipeAnswer(upstream: Socket, client: Socket, fault: Fault): void {
  let head: Buffer | undefined = Buffer.alloc(0)
  let sent = 0
  let cut = false
  const cutNow = (how: Ending): void => {
    cut = true
    end(how, client)
    if (how !== 'stall') upstream.destroy()
  }
  const takeBody = (chunk: Buffer): void => {
    if (cut) return
    let part = chunk
    if (fault.kind === 'cut-answer') part = chunk.subarray(0, Math.min(chunk.length, fault.after - sent))
    if (fault.kind === 'corrupt-answer' && fault.at >= sent && fault.at < sent + chunk.length) {
      part = Buffer.from(chunk)
      part[fault.at - sent] = (part[fault.at - sent] ?? 0) ^ 0x55
    }
    sent += part.length
    const last = fault.kind === 'cut-answer' && sent >= fault.after
    const flushed = part.length === 0 || client.write(part, () => last && cutNow(fault.how))
    if (last && part.length === 0) cutNow(fault.how)
    if (!flushed && !last) {
      upstream.pause()
      client.once('drain', () => upstream.resume())
    }
  }
  upstream.on('data', (chunk: Buffer) => {
    if (head === undefined) {
      takeBody(chunk)
      return
    }
    head = Buffer.concat([head, chunk])
    let position = head.indexOf('\r\n\r\n')
    while (position !== -1) {
      const text = head.toString('latin1', 0, position)
      const rest = head.subarray(position + 4)
      if (text.startsWith('HTTP/1.1 100')) {
        client.write(`${text}\r\n\r\n`)
        head = rest
        position = head.indexOf('\r\n\r\n')
        continue
      }
      head = undefined
      if (fault.kind === 'lose-answer') {
        cutNow(fault.how)
        return
      }
      const edited = fault.kind === 'edit-head' ? fault.edit(text) : text
      // So that the next request comes on a connection of its own, and is seen.
      const closing = `${edited.replace(/\r\nconnection:[^\r]*/i, '')}\r\nConnection: close`
      client.write(`${closing}\r\n\r\n`, 'latin1')
      takeBody(rest)
      return
    }
  })
  upstream.on('end', () => {
    if (!cut) client.end()
  })
}
