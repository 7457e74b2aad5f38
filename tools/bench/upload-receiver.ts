/**
 * An image service that only takes images: what the upload jobs send to, in a process of its own, so that no
 * slow server hides the differences between the senders. Writes each image to a file.
 *
 * usage: upload-receiver.ts FOLDER   (prints its URL; ends when its standard input ends)
 */
import { randomUUID } from 'node:crypto'
import { createWriteStream, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { imageSchema } from './image-schema.ts'

type ImageRecord = Record<string, unknown>

const [folder = ''] = process.argv.slice(2)
const records = new Map<string, ImageRecord>()

function answer(response: ServerResponse, status: number, body?: unknown): void {
  response.writeHead(status, body === undefined ? {} : { 'content-type': 'application/json' })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

async function readJson(request: IncomingMessage): Promise<ImageRecord> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as ImageRecord
}

const emptyRecord: ImageRecord = {
  name: null,
  disk_format: 'raw',
  container_format: 'bare',
  visibility: 'private',
  tags: [],
  checksum: null,
  os_hash_algo: null,
  os_hash_value: null,
  size: null,
  owner: null,
  min_disk: 0,
  min_ram: 0,
  protected: false,
  os_hidden: false,
  virtual_size: null,
}

function createRecord(body: ImageRecord): ImageRecord {
  const id = typeof body['id'] === 'string' ? body['id'] : randomUUID()
  const now = new Date().toISOString().replace(/\.\d+/, '')
  const record = {
    ...emptyRecord,
    ...body,
    id,
    status: 'queued',
    created_at: now,
    updated_at: now,
    self: `/v2/images/${id}`,
    file: `/v2/images/${id}/file`,
    schema: '/v2/schemas/image',
  }
  records.set(id, record)
  return record
}

async function receive(
  request: IncomingMessage,
  response: ServerResponse,
  record: ImageRecord,
): Promise<void> {
  const file = createWriteStream(path.join(folder, String(record['id'])), { highWaterMark: 4 * 1024 * 1024 })
  await pipeline(request, file)
  record['status'] = 'active'
  record['size'] = file.bytesWritten
  answer(response, 204)
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, version, collection, id = '', part] = (request.url ?? '').split(/[?#]/)[0]?.split('/') ?? []
  if (version !== 'v2')
    return answer(response, 300, { versions: [{ id: 'v2.16', status: 'CURRENT', links: [] }] })
  if (collection === 'schemas') return answer(response, 200, imageSchema)
  if (collection !== 'images') return answer(response, 404)
  if (request.method === 'POST') return answer(response, 201, createRecord(await readJson(request)))
  const record = records.get(id)
  if (record === undefined) return answer(response, 404)
  if (request.method === 'GET' && part === undefined) return answer(response, 200, record)
  if (request.method === 'PUT' && part === 'file') return receive(request, response, record)
  if (request.method === 'DELETE') {
    rmSync(path.join(folder, id), { force: true })
    return answer(response, records.delete(id) ? 204 : 404)
  }
  answer(response, 405)
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    console.error(error)
    response.destroy()
  })
})
server.requestTimeout = 0
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
process.stdin.resume().on('end', () => {
  server.closeAllConnections()
  server.close()
})
