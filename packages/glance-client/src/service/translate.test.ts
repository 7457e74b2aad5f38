import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createGlanceImageService } from './glance-image-service.ts'
import type { GlanceImageService } from './glance-image-service.ts'

// No real Glance lets its schema wait.
let server: Server
let service: GlanceImageService
const schemaRequests: ServerResponse[] = []
beforeEach(async () => {
  schemaRequests.length = 0
  server = createServer((request, response) => {
    request.resume()
    if (request.url === '/v2/schemas/image') schemaRequests.push(response)
    else response.end(JSON.stringify({ id: 'an-image', status: 'active' }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  service = createGlanceImageService({ endpoint: `http://127.0.0.1:${port}`, retries: 0 })
})
afterEach(async () => {
  await service.close()
  server.closeAllConnections()
  server.close()
})

const schemaIsAsked = (times: number): Promise<void> =>
  vi.waitFor(() => expect(schemaRequests).toHaveLength(times), 10_000)

test('the end of the call that asked first ends no other', async () => {
  const controller = new AbortController()
  const first = service.show({}, 'an-image', { signal: controller.signal })
  await schemaIsAsked(1)
  const second = service.show({}, 'an-image')
  controller.abort(new Error('enough'))
  await expect(first).rejects.toThrow('enough')
  schemaRequests[0]?.end('{"properties": {}}')
  expect(await second).toMatchObject({ id: 'an-image' })
  await service.show({}, 'an-image')
  expect(schemaRequests).toHaveLength(1)
})

test('what failed is asked for again', async () => {
  const first = service.show({}, 'an-image')
  await schemaIsAsked(1)
  schemaRequests[0]?.writeHead(500).end()
  await expect(first).rejects.toThrow(/500/)
  const second = service.show({}, 'an-image')
  await schemaIsAsked(2)
  schemaRequests[1]?.end('{"properties": {}}')
  expect(await second).toMatchObject({ id: 'an-image' })
})

test('a service that is closed waits for none', async () => {
  const controller = new AbortController()
  const show = service.show({}, 'an-image', { signal: controller.signal })
  await schemaIsAsked(1)
  controller.abort(new Error('enough'))
  await expect(show).rejects.toThrow('enough')
  const closed = once(schemaRequests[0] as ServerResponse, 'close')
  await service.close()
  await closed
})

test('a call that was ended before it began leaves no failure behind that nobody hears of', async () => {
  const unheard = vi.fn<() => void>()
  process.on('unhandledRejection', unheard)
  try {
    const show = service.show({}, 'an-image', { signal: AbortSignal.abort(new Error('enough')) })
    await expect(show).rejects.toThrow('enough')
    await schemaIsAsked(1)
    await service.close()
    // Nothing tells when nothing happens.
    await sleep(100)
    expect(unheard).not.toHaveBeenCalled()
  } finally {
    process.off('unhandledRejection', unheard)
  }
})
