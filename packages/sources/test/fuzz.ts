/**
 * Downloads from a server that answers at random: cut, with wrong ranges, wrong lengths, wrong bytes, or not in HTTP.
 * What is compared with a checksum must be right, or an error with a code. This is `pnpm fuzz url`.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { ImageError } from '@disk-image/core'
import { httpSource } from '@disk-image/sources'
import { fuzz } from '@disk-image/testing'
import { keeper, random, sha256 } from './helpers/keeper.ts'

let next = random(1)
const noise = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, () => below(256)))
const below = (limit: number): number => Math.floor(next() * limit)
const data = noise(200_000)
const size = data.length
let validators = ''

const pick = (texts: readonly string[]): string => texts[below(texts.length)] ?? ''
const cut = (bytes: Buffer): Buffer => bytes.subarray(0, below(bytes.length))
const head = (status: string, headers: string): string =>
  `HTTP/1.1 ${status}\r\n${validators}${next() < 0.5 ? 'Accept-Ranges: bytes\r\n' : ''}${headers}\r\n`
const whole = (body: Buffer): Buffer =>
  Buffer.concat([Buffer.from(head('200 OK', `Content-Length: ${size}\r\n`)), body])
const part = (
  first: number,
  last: number,
  body: Buffer = data.subarray(first, last + 1),
  range = `bytes ${first}-${last}/${size}`,
): Buffer => {
  const headers = `Content-Length: ${last - first + 1}\r\nContent-Range: ${range}\r\n`
  return Buffer.concat([Buffer.from(head('206 Partial Content', headers)), body])
}
const chunked = (body: Buffer, end: string): Buffer => {
  const parts: Buffer[] = [Buffer.from(head('200 OK', 'Transfer-Encoding: chunked\r\n'))]
  for (let at = 0; at < body.length;) {
    const chunk = body.subarray(at, at + 1 + below(60_000))
    at += chunk.length
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from(end)])
}
const flipped = (bytes: Buffer): Buffer => {
  const at = below(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
  return bytes
}

/** Faults, each for the bytes that were asked for. */
const faults: readonly ((first: number, last: number) => Buffer | string)[] = [
  (first, last) => part(first, last, cut(data.subarray(first, last + 1))),
  () => whole(cut(data)),
  () => chunked(data, '0\r\n\r\n'),
  () => chunked(cut(data), ''),
  (first, last) => part(first + 1, last),
  (first, last) => part(first, Math.max(first, last - 1)),
  (first, last) => part(first, last, undefined, `bytes ${first}-${last}/*`),
  (first, last) =>
    part(first, last, undefined, pick(['bytes */5', 'items 0-1/2', '', `bytes ${last}-${first}/9`])),
  () =>
    `HTTP/1.1 ${pick('400 404 416 429 500 503 204 206 304 301'.split(' '))} X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n`,
  () => noise(below(300)),
  () => '',
  () => 'HTTP/1.1 302 X\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n',
  () => Buffer.concat([whole(data), noise(50)]),
  () => Buffer.concat([Buffer.from(head('200 OK', '')), cut(data)]),
  () => flipped(whole(data)),
  () => 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n',
]

function answer(request: string, socket: Socket): void {
  const [, from, to = ''] = /^range: bytes=(\d+)-(\d*)/im.exec(request) ?? []
  const [first, last] = [Number(from ?? 0), to === '' ? size - 1 : Math.min(Number(to), size - 1)]
  const isPart = from !== undefined
  const fault = next() < 0.7 ? faults[below(faults.length)] : undefined
  socket.write(fault?.(first, last) ?? (isPart ? part(first, last) : whole(data)))
  if (fault !== undefined || next() < 0.5) socket.end()
}

const server = createServer((socket) => {
  let request = ''
  socket.on('error', () => undefined)
  socket.on('data', (bytes) => {
    request += bytes.toString('latin1')
    if (!request.includes('\r\n\r\n')) return
    answer(request, socket)
    request = ''
  })
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk`

await fuzz(
  async (seed, counts) => {
    next = random(seed)
    validators = `${pick(['ETag: "a"\r\n', 'ETag: W/"a"\r\n', ''])}${pick(['', 'Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nDate: Tue, 02 Jan 2024 00:00:00 GMT\r\n'])}`
    const source = httpSource(url, {
      allow: { privateAddresses: true },
      retryDelayMs: 1,
      maximumRetryDelayMs: 2,
      retries: 6,
      idleTimeoutMs: 1000,
    })
    const sink = keeper()
    const checksums = [{ algorithm: 'sha256', value: sha256(data) }]
    let outcome = 'right'
    try {
      if (next() < 0.2) await source.readRange(0, 4096).catch(() => undefined)
      await source.download(sink, { checksums, connections: next() < 0.3 ? 3 : 1 })
      if (!sink.bytes().equals(data)) throw new Error('The bytes are others.')
    } catch (error) {
      if (!ImageError.is(error)) throw error
      outcome = error.code
    } finally {
      await source.close()
    }
    counts[outcome] = (counts[outcome] ?? 0) + 1
  },
  { mostMiB: 500 },
)
server.close()
