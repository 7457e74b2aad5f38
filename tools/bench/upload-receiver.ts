/**
 * An image service that only takes images: what the upload jobs send to. nginx takes the data, and puts each image
 * into a file, so that no slow server hides the differences between the senders; the records are here.
 *
 * usage: upload-receiver.ts FOLDER   (prints its URL; ends when its standard input ends)
 */
import { spawn } from 'node:child_process'
import { freePort } from '@disk-image/testing'
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
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

/** Where nginx puts an image's data; the same path as in its URL. */
function dataFile(id: string): string {
  return path.join(folder, 'v2/images', path.basename(id), 'file')
}

/** The record, which is active as soon as the data is there. */
function current(record: ImageRecord): ImageRecord {
  const found = statSync(dataFile(String(record['id'])), { throwIfNoEntry: false })
  return found === undefined ? record : { ...record, status: 'active', size: found.size }
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
  if (request.method === 'GET' && part === undefined) return answer(response, 200, current(record))
  if (request.method === 'DELETE') {
    rmSync(dataFile(id), { force: true })
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

/** nginx, which takes data itself and asks the server above for everything else. */
function configuration(port: number, recordsPort: number): string {
  return `
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path ${folder}/arriving;
  proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port};
    location ~ ^/v2/images/[^/]+/file$ { root ${folder}; dav_methods PUT; create_full_put_path on; }
    location / { proxy_pass http://127.0.0.1:${recordsPort}; proxy_http_version 1.1; }
  }
}
`
}

server.listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const port = await freePort('127.0.0.1')
mkdirSync(folder, { recursive: true })
const file = path.join(folder, 'nginx.conf')
writeFileSync(file, configuration(port, (server.address() as AddressInfo).port))
const nginx = spawn('nginx', ['-c', file, '-e', path.join(folder, 'error.log')], { stdio: 'inherit' })
const url = `http://127.0.0.1:${port}`
for (let tries = 0; tries < 100; tries += 1) {
  const answers = await fetch(`${url}/v2/schemas/image`).then(
    () => true,
    () => false,
  )
  if (answers) break
  await delay(50)
}
console.log(url)
process.stdin.resume().on('end', () => {
  nginx.kill()
  server.closeAllConnections()
  server.close()
})
process.once('exit', () => nginx.kill())
