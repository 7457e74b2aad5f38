/**
 * A server of images for soak.ts, in a process of its own: files by their names, and as much of Glance as an image
 * service asks for. It cuts answers off, spoils bytes and takes its time as it is told.
 *
 *     node image-server.ts FOLDER      (forked: it ends with its parent)
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What the server does to the answers for one file or image. */
export interface Trouble {
  /** Bytes after which the connection is cut. */
  readonly cutAfter?: number
  /** How often. */
  readonly cuts?: number
  /** A byte that is spoiled. */
  readonly spoiledAt?: number
}

/** Tells the server of a file under a name. */
export interface Entry {
  readonly name: string
  readonly file?: string
  readonly record?: Readonly<Record<string, unknown>>
  readonly trouble?: Trouble
}

const [folder = ''] = process.argv.slice(2)
const entries = new Map<string, Entry>()
const cuts = new Map<string, number>()

function isCut(name: string, trouble: Trouble | undefined, bytes: number): boolean {
  if (trouble?.cutAfter === undefined || bytes < trouble.cutAfter) return false
  const count = cuts.get(name) ?? 0
  if (count >= (trouble.cuts ?? 0)) return false
  cuts.set(name, count + 1)
  return true
}

async function sendFile(entry: Entry, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { file = '', name, trouble } = entry
  const size = statSync(file).size
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  const first = Number(from ?? 0)
  const last = to === undefined || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  const headers = { 'Content-Length': last - first + 1, ETag: '"one"', 'Accept-Ranges': 'bytes' }
  if (from === undefined) response.writeHead(200, headers)
  else response.writeHead(206, { ...headers, 'Content-Range': `bytes ${first}-${last}/${size}` })
  const bytes = Buffer.alloc(65_536)
  const handle = readFileSync(file)
  for (let at = first; at <= last; at += bytes.length) {
    const chunk = Buffer.from(handle.subarray(at, Math.min(at + bytes.length, last + 1)))
    const spoiled = (trouble?.spoiledAt ?? -1) - at
    if (spoiled >= 0 && spoiled < chunk.length) chunk[spoiled] = (chunk[spoiled] ?? 0) ^ 1
    if (isCut(name, trouble, at)) {
      request.socket.destroy()
      return
    }
    response.write(chunk)
    await delay(0)
  }
  response.end()
}

async function readBody(request: IncomingMessage, name: string): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  const { trouble } = entries.get(name) ?? {}
  for await (const chunk of request) {
    chunks.push(chunk as Buffer)
    bytes += (chunk as Buffer).length
    if (isCut(name, trouble, bytes)) {
      request.socket.destroy()
      return undefined
    }
  }
  return Buffer.concat(chunks)
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '' } = request
  const json = (status: number, value: unknown): void =>
    void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value))
  const [, id = '', data] = /^\/v2\/images\/([^/]+)(\/file)?$/.exec(url) ?? []
  const entry = entries.get(id === '' ? url.slice(1) : id)
  if (method === 'POST' && url === '/v2/images') {
    const body = await readBody(request, '')
    const record = {
      id: randomUUID(),
      status: 'queued',
      container_format: 'bare',
      ...(JSON.parse(body?.toString() ?? '{}') as object),
    }
    entries.set(record.id, { name: record.id, record })
    json(201, record)
  } else if (url.startsWith('/v2/schemas/')) json(200, { properties: { id: {}, name: {}, disk_format: {} } })
  else if (entry === undefined) json(404, { message: 'No such image' })
  else if (method === 'PUT') {
    const body = await readBody(request, id)
    if (body === undefined) return
    const file = `${folder}/${id}`
    writeFileSync(file, body)
    entries.set(id, { ...entry, file, record: { ...entry.record, status: 'active', size: body.length } })
    response.writeHead(204).end()
  } else if (method === 'DELETE') {
    entries.delete(id)
    response.writeHead(204).end()
  } else if (id !== '' && data === undefined) json(200, entry.record)
  else await sendFile(entry, request, response)
}

const server = createServer((request, response) => {
  answer(request, response).catch(() => request.socket.destroy())
})
server.keepAliveTimeout = 1000
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('message', (entry: Entry) => {
  cuts.delete(entry.name)
  entries.set(entry.name, entry)
  process.send?.(entry.name)
})
process.on('disconnect', () => process.exit())
