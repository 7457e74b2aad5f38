import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { serve, type ServerType } from '@hono/node-server'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { backingFile, qcow2 } from '../images.testing.ts'
import { createApp } from './app.ts'

let directory: string
let server: ServerType
let base: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  const app = createApp({ directory, maxBytes: 32 * 1024 ** 2 })
  server = await new Promise((resolve) => {
    const started = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, () => resolve(started))
  })
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/images`
})

afterEach(async () => {
  server.close()
  ;(server as http.Server).closeAllConnections()
  await rm(directory, { recursive: true, force: true })
})

async function put(
  name: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(`${base}/${name}`, { method: 'PUT', body })
  return { status: response.status, answer: await response.json() }
}

test('an image that is what it claims to be is kept as it was sent', async () => {
  const image = new Uint8Array(await qcow2(directory))
  const { status, answer } = await put('one?format=qcow2', image)
  expect(status).toBe(201)
  expect(answer).toMatchObject({ name: 'one', format: 'qcow2', virtualSizeBytes: 4 * 1024 ** 2 })
  expect((await readFile(path.join(directory, 'one'))).equals(image)).toBe(true)
})

test('an image with a backing file is refused before its end was sent', async () => {
  const head = new Uint8Array(1024 * 1024)
  head.set(backingFile('/etc/passwd'))
  // The body never ends: only what was sent so far can be the reason of the answer.
  const answer = await new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const request = http.request(`${base}/two?format=qcow2`, { method: 'PUT' }, (response) => {
      let text = ''
      response.on('data', (part) => (text += String(part)))
      response.on('end', () => {
        resolve({ status: response.statusCode, text })
        request.destroy()
      })
    })
    request.on('error', reject)
    request.write(head)
  })
  expect(answer.status).toBe(422)
  expect(JSON.parse(answer.text)).toMatchObject({ found: '/etc/passwd', offset: 8 })
  expect(await readdir(directory)).toEqual([])
})

test('another format than was claimed, a bad name and too many bytes are refused, and leave nothing', async () => {
  const image = new Uint8Array(await qcow2(directory))
  expect((await put('three', image)).status).toBe(422)
  expect((await put('..%2Fthree?format=qcow2', image)).status).toBe(400)
  const { status, answer } = await put('three', new Uint8Array(33 * 1024 ** 2))
  expect(status).toBe(422)
  expect(answer).toMatchObject({ rule: 'upload-size' })
  expect(await readdir(directory)).toEqual([])
})
