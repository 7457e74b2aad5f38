import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { serve, type ServerType } from '@hono/node-server'
import { createDirectoryImageService, type ImageService } from '@disk-image/image-utils'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { backingFile, qcow2 } from '../images.testing.ts'
import { createApp } from './app.ts'

let directory: string
let imageService: ImageService
let server: ServerType
let base: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  await mkdir(path.join(directory, 'volumes'))
  imageService = createDirectoryImageService({ directory: path.join(directory, 'images') })
  const app = createApp(imageService, path.join(directory, 'volumes'))
  server = await new Promise((resolve) => {
    const started = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, () => resolve(started))
  })
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  server.close()
  ;(server as http.Server).closeAllConnections()
  await rm(directory, { recursive: true, force: true })
})

interface Answer {
  readonly status: number
  readonly answer: unknown
}

async function send(name: string, body: Uint8Array<ArrayBuffer>): Promise<Answer> {
  const response = await fetch(`${base}/images/${name}`, { method: 'POST', body })
  return { status: response.status, answer: await response.json() }
}

/** Names and data of the events of a transfer, as they come. */
async function* events(
  volume: string,
  image: string,
): AsyncGenerator<readonly [string, Record<string, unknown>]> {
  const response = await fetch(`${base}/volumes/${volume}?image=${image}`, { method: 'POST' })
  let text = ''
  for await (const part of (response.body as ReadableStream<Uint8Array>).pipeThrough(
    new TextDecoderStream(),
  )) {
    text += part
    const whole = text.split('\n\n')
    text = whole.pop() ?? ''
    for (const event of whole) {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/m.exec(event) ?? []
      yield [name, JSON.parse(data) as Record<string, unknown>]
    }
  }
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const array: Item[] = []
  for await (const item of items) array.push(item)
  return array
}

test('an image is taken, listed, and written onto a volume, with progress', async () => {
  const image = new Uint8Array(await qcow2(directory))
  const { status, answer } = await send('one?format=qcow2', image)
  expect({ status, answer }).toMatchObject({
    status: 201,
    answer: { disk_format: 'qcow2', size: image.length },
  })
  const { id: imageId } = answer as { readonly id: string }
  expect(await (await fetch(`${base}/images`)).json()).toMatchObject([
    { id: imageId, name: 'one', status: 'active' },
  ])

  const heard = await all(events('volume-1', imageId))
  expect(heard.at(-1)).toMatchObject(['done', { imageId, format: 'qcow2', virtualSizeBytes: 4 * 1024 ** 2 }])
  expect(heard.at(-2)).toMatchObject(['progress', { fraction: 1 }])
  expect((await stat(path.join(directory, 'volumes', 'volume-1'))).size).toBe(4 * 1024 ** 2)
})

test('an image with a backing file is refused before its end was sent, and leaves nothing', async () => {
  const head = new Uint8Array(4 * 1024 ** 2)
  head.set(backingFile('/etc/passwd'))
  // The body never ends: only what was sent so far can be the reason of the answer.
  const answer = await new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const request = http.request(`${base}/images/two?format=qcow2`, { method: 'POST' }, (response) => {
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
  expect(JSON.parse(answer.text)).toMatchObject({
    rule: 'qcow2-backing-file',
    found: '/etc/passwd',
    offset: 8,
  })
  expect(await imageService.detail({})).toEqual([])
})

test('what is wrong is answered with its status, and leaves nothing', async () => {
  const image = new Uint8Array(await qcow2(directory))
  expect(await send('three?format=vmdk', image)).toMatchObject({
    status: 422,
    answer: { rule: 'format-mismatch' },
  })
  expect(await send('three?format=nonsense', image)).toMatchObject({
    status: 400,
    answer: { code: 'INVALID' },
  })
  expect(await all(events('volume-2', 'no-such-image'))).toMatchObject([
    ['error', { code: 'IMAGE_NOT_FOUND' }],
  ])
  expect((await fetch(`${base}/volumes/..%2Fthree`, { method: 'POST' })).status).toBe(400)
  expect((await fetch(`${base}/volumes/volume-2`, { method: 'DELETE' })).status).toBe(404)
  expect(await imageService.detail({})).toEqual([])
  expect(await readdir(path.join(directory, 'volumes'))).toEqual([])
})

test('a transfer is cancelled, and its volume is not there', async () => {
  const { answer } = await send('four?format=raw', new Uint8Array(8 * 1024 ** 2).fill(7))
  const { id: imageId } = answer as { readonly id: string }
  // A store that stops in the middle, until it is told to.
  const hanging = Promise.withResolvers<void>()
  const download = imageService.download.bind(imageService)
  imageService.download = (context, id, sink, options) =>
    download(
      context,
      id,
      {
        write: async (chunk) => {
          await sink.write(chunk)
          hanging.resolve()
          await new Promise((_resolve, reject) => {
            options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error))
          })
        },
      },
      options,
    )
  const heard = all(events('volume-3', imageId))
  await hanging.promise
  expect((await fetch(`${base}/volumes/volume-3`, { method: 'DELETE' })).status).toBe(202)
  expect((await heard).at(-1)?.[0]).toBe('error')
  expect(await readdir(path.join(directory, 'volumes'))).toEqual([])
})
