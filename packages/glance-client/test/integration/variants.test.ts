import path from 'node:path'
import { truncate } from 'node:fs/promises'
import { createGlanceClient, createGlanceImageService, validateStoreId } from '@disk-image/glance-client'
import type { GlanceClient } from '@disk-image/glance-client'
import { startGlance } from '@disk-image/testing'
import type { GlanceOptions, RunningGlance } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startFaultProxy } from './fault-proxy.ts'
import { keeper, makeImage, quick, randomData, sha512, sourceOf } from './helpers.ts'

const data = randomData(3_000_001)

async function roundTrip(client: GlanceClient): Promise<void> {
  const { id } = await client.create({ name: 'r', disk_format: 'raw', container_format: 'bare' })
  expect(await client.upload(id, sourceOf(data))).toMatchObject({ bytes: data.length })
  for (let turn = 0; turn < 2; turn += 1) {
    const sink = keeper()
    const report = await client.download(id, sink, { verify: 'strict', additionalHashes: ['sha512'] })
    expect(sink.bytes().equals(data)).toBe(true)
    expect(report.hash?.verified).toBe(true)
    expect(report.additionalHashes['sha512']).toBe(sha512(data))
  }
}

describe.each<[string, GlanceOptions]>([
  ['sha256', { hash: 'sha256' }],
  ['blake2b', { hash: 'blake2b' }],
  ['sha3_512', { hash: 'sha3_512', caching: true }],
])('Glance with %s', (name, options) => {
  it('takes and gives images, verified, with every framing', async () => {
    await using glance = await startGlance(options)
    await using client = createGlanceClient({ endpoint: glance.url })
    await roundTrip(client)
    // By now the client knows which hash this service computes.
    const { id } = await client.create({ name: 'r', disk_format: 'raw', container_format: 'bare' })
    expect((await client.upload(id, sourceOf(data))).hash?.algorithm).toBe(name)
    const report = await client.upload(await makeImage(client, undefined), sourceOf(data))
    expect(report.hash).toMatchObject({ algorithm: name, verified: true })
  })
})

describe('what is compared after an upload', () => {
  it('is the size alone, the hash where there is one, or the hash without excuse', async () => {
    await using glance = await startGlance()
    await using client = createGlanceClient({ endpoint: glance.url })
    const send = async (through: GlanceClient, verify: 'none' | 'strict'): Promise<unknown> =>
      through.upload(await makeImage(client, undefined), sourceOf(data), { verify })
    expect(await send(client, 'none')).toEqual({ bytes: data.length, retries: 0, hash: undefined })
    expect(await send(client, 'strict')).toMatchObject({ hash: { algorithm: 'sha512', verified: true } })

    await using proxy = await startFaultProxy(glance.url)
    await using silent = createGlanceClient({ endpoint: proxy.url, ...quick })
    const body = JSON.stringify({ id: 'x', status: 'active', size: data.length })
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    proxy.rule = ({ method, path: asked }) =>
      method === 'GET' && /images\/[^/?]+$/.test(asked)
        ? { kind: 'answer', text: head + body }
        : { kind: 'pass' }
    await expect(send(silent, 'strict')).rejects.toMatchObject({
      code: 'IMAGE_UPLOAD_FAILED',
      state: 'unknown',
      message: expect.stringContaining('no hash that could be compared') as unknown,
    })
  })
})

describe('what a record says of its hash', () => {
  it('is no data at all where no bytes can have it', async () => {
    await using glance = await startGlance()
    await using client = createGlanceClient({ endpoint: glance.url })
    const id = await makeImage(client, data)
    const image = await client.show(id)
    const md5 = image.checksum
    for (const fields of [
      { os_hash_value: 'badmultihashvalue' },
      { os_hash_value: 'badmultihashvalue', checksum: null },
      { os_hash_algo: null, os_hash_value: null, checksum: 'wrong' },
      { os_hash_algo: 'unsupported_algo', os_hash_value: 'some_hash_value', checksum: null },
      { os_hash_algo: null, checksum: null },
    ]) {
      const sink = keeper()
      const taken = client.download(id, sink, { image: { ...image, ...fields } })
      await expect(taken).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: false })
      expect(sink.bytes()).toHaveLength(0)
    }
    const unknown = { ...image, os_hash_algo: 'unsupported_algo' }
    expect((await client.download(id, keeper(), { image: unknown })).hash).toEqual({
      algorithm: 'md5',
      value: md5,
      verified: true,
    })
  })

  it('is compared afterwards where it comes only then', async () => {
    for (const hash of ['sha512', 'sha256']) {
      await using glance = await startGlance({ hash })
      await using client = createGlanceClient({ endpoint: glance.url })
      const id = await makeImage(client, data)
      const before = { ...(await client.show(id)), os_hash_value: null, checksum: null }
      const report = await client.download(id, keeper(), { image: before })
      expect(report.hash).toMatchObject({ algorithm: hash, verified: true })

      await using proxy = await startFaultProxy(glance.url)
      await using through = createGlanceClient({ endpoint: proxy.url, ...quick })
      for (const [os_hash_value, message] of [
        ['ab'.repeat(hash === 'sha512' ? 64 : 32), 'record says'],
        ['nonsense', 'is not a'],
      ] as const) {
        const body = JSON.stringify({ ...before, os_hash_value })
        proxy.rule = ({ path: asked }) =>
          asked.endsWith('/file')
            ? { kind: 'pass' }
            : { kind: 'answer', text: `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}` }
        const taken = through.download(id, keeper(), { image: before })
        await expect(taken).rejects.toMatchObject({
          code: 'IMAGE_DOWNLOAD_FAILED',
          partial: true,
          message: expect.stringContaining(message) as unknown,
        })
      }
    }
  })
})

describe('what a caller gets wrong', () => {
  it('is told as the field, the value and what is taken', async () => {
    await using glance = await startGlance()
    await using client = createGlanceClient({ endpoint: glance.url })
    const service = createGlanceImageService(client)
    const told = async (act: Promise<unknown>): Promise<string> => {
      const error = await act.then(
        () => undefined,
        (thrown: unknown) => thrown as Error & { code: string },
      )
      expect(error?.code).toBe('INVALID')
      return error?.message ?? ''
    }
    const disks = 'must be one of: ami, ari, aki, vhd, vhdx, vmdk, raw, qcow2, vdi, iso, ploop.'
    const id = await makeImage(client, undefined)
    for (const disk_format of ['foo', 'QCOW2', 'qcow', '']) {
      const wrong = { name: 'x', disk_format, container_format: 'bare' }
      expect(await told(service.create({}, wrong))).toBe(`disk_format is "${disk_format}"; it ${disks}`)
      expect(await told(service.update({}, id, { disk_format }))).toContain(disks)
      // The service itself says it at length.
      expect(await told(client.create(wrong))).toBe(`disk_format is '${disk_format}'; it ${disks}`)
    }
    expect(await told(client.create({ container_format: 'tar' }))).toContain(
      "container_format is 'tar'; it must",
    )
    expect(await told(client.create({ min_disk: 'a' }))).toBe("min_disk: 'a' is not of type 'integer'.")
    expect(await told(client.create({ own: 5 }))).toBe("own: 5 is not of type 'string'.")
    expect(await told(client.create({ name: 'x'.repeat(300) }))).toMatch(/^name: 'x+' is too long\.$/)
    expect((await service.detail({})).map((image) => image.id)).toEqual([id])
  })

  it('is an id that is none, before anything is asked', async () => {
    await using client = createGlanceClient({ endpoint: 'http://127.0.0.1:1', ...quick, retries: 0 })
    const service = createGlanceImageService(client)
    for (const id of ['', '  ', undefined, null, 5, {}] as string[]) {
      for (const act of [
        () => client.show(id),
        () => client.delete(id),
        () => client.patch(id, []),
        () => client.download(id, keeper()),
        () => client.upload(id, sourceOf(data)),
        () => client.stage(id, sourceOf(data)),
        () => client.readRange(id, 0, 1),
        () => client.deleteFromStore(id, 'store'),
        () => service.show({}, id),
        () => service.download({}, id, keeper()),
        () => service.update({}, id, { name: 'x' }),
        () => service.getLocation({}, id),
      ]) {
        await expect(act()).rejects.toMatchObject({ code: 'INVALID' })
      }
    }
  })
})

describe('single properties', () => {
  it('are set and removed, and the others stay', async () => {
    await using glance = await startGlance()
    await using client = createGlanceClient({ endpoint: glance.url })
    const service = createGlanceImageService(client)
    const { id } = await service.create({}, { name: 'x', properties: { one: '1', two: '2', 'a/b~c': '3' } })
    const set = await service.update({}, id, { properties: { two: 'II' } }, { purgeProperties: false })
    expect(set.properties).toMatchObject({ one: '1', two: 'II', 'a/b~c': '3' })
    const removeProperties = ['one', 'a/b~c', 'never there', 'status', '__proto__']
    const left = await service.update({}, id, {}, { removeProperties })
    expect(left.properties).toEqual({ two: 'II' })
    const both = { purgeProperties: false, removeProperties: ['two'] }
    const last = await service.update({}, id, { name: 'y', properties: { three: '3' } }, both)
    expect(last).toMatchObject({ name: 'y', properties: { three: '3' } })
    expect(last.properties['two']).toBeUndefined()
  })
})

describe('Glance under uwsgi', () => {
  it('gives bodies without length, and a cut one is noticed', async () => {
    await using glance = await startGlance({ engine: 'uwsgi' })
    await using client = createGlanceClient({ endpoint: glance.url, ...quick, idleTimeoutMs: 5000 })
    await roundTrip(client)
    const id = await makeImage(client, data)
    await using proxy = await startFaultProxy(glance.url)
    await using through = createGlanceClient({ endpoint: proxy.url, ...quick, idleTimeoutMs: 5000 })
    for (const after of [0, 1, 1_000_000, data.length - 1]) {
      let cut = false
      proxy.rule = ({ path }) => {
        if (!path.endsWith('/file') || cut) return { kind: 'pass' }
        cut = true
        return { kind: 'cut-answer', after, how: 'end' }
      }
      const sink = keeper()
      await through.download(id, sink)
      expect(sink.bytes().equals(data)).toBe(true)
    }
  })
})

describe('Glance behind trusted headers', () => {
  it('keeps tenants apart', async () => {
    await using glance = await startGlance({ mode: 'trusted' })
    await using client = createGlanceClient({
      endpoint: glance.url,
      requestHeaders: ({ userId = 'nobody', projectId = 'none', isAdmin }) => ({
        'X-Identity-Status': 'Confirmed',
        'X-User-Id': userId,
        'X-Project-Id': projectId,
        'X-Roles': isAdmin === true ? 'admin' : 'member',
      }),
    })
    const one = createGlanceImageService(client)
    const context = { userId: 'u1', projectId: 'p1' }
    const record = await one.create(
      context,
      {
        name: 'mine',
        disk_format: 'raw',
        container_format: 'bare',
        properties: { os_distro: 'debian', own: 'x' },
      },
      { data: sourceOf(data) },
    )
    expect(record).toMatchObject({
      status: 'active',
      size: data.length,
      properties: { os_distro: 'debian', own: 'x' },
    })
    expect(record.created_at).toBeInstanceOf(Date)
    const sink = keeper()
    await one.download(context, record.id, sink)
    expect(sink.bytes().equals(data)).toBe(true)
    await expect(one.show({ userId: 'u2', projectId: 'p2' }, record.id)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    })
    const changed = await one.update(context, record.id, { name: 'new', properties: { own: 'y' } })
    expect(changed).toMatchObject({ name: 'new', properties: { own: 'y' } })
    expect(changed.properties['os_distro']).toBe(undefined)
    expect((await one.detail(context)).map(({ id }) => id)).toEqual([record.id])
    expect(await one.detail({ userId: 'u2', projectId: 'p2' })).toEqual([])
  })
})

describe('Glance with several stores', () => {
  let glance: RunningGlance
  let client: GlanceClient

  beforeAll(async () => {
    glance = await startGlance({ stores: 'multi' })
    client = createGlanceClient({ endpoint: glance.url, ...quick })
  })

  afterAll(async () => {
    await client?.close()
    await glance?.stop()
  })

  it('puts data where it is told, and refuses stores that take none', async () => {
    const service = createGlanceImageService(client)
    const { id } = await client.create({ name: 's', disk_format: 'raw', container_format: 'bare' })
    await expect(client.upload(id, sourceOf(data), { storeId: 'web' })).rejects.toMatchObject({
      code: 'GLANCE_STORE_READ_ONLY',
    })
    await expect(client.upload(id, sourceOf(data), { storeId: 'no' })).rejects.toMatchObject({
      code: 'GLANCE_STORE_NOT_FOUND',
    })
    await client.upload(id, sourceOf(data), { storeId: 'slow' })
    expect((await client.show(id)).stores).toBe('slow')
    await expect(validateStoreId({}, service, 'web')).rejects.toMatchObject({
      code: 'GLANCE_STORE_READ_ONLY',
    })
    await expect(validateStoreId({}, service, 'none')).rejects.toMatchObject({
      code: 'GLANCE_STORE_NOT_FOUND',
    })
    await validateStoreId({}, service, 'fast')
  })

  it('reads ranges, in parallel and from the middle, and by iteration', async () => {
    const large = randomData(20_000_003)
    const id = await makeImage(client, large)
    const sink = keeper()
    await client.download(id, sink, { connections: 3, verify: 'strict' })
    expect(sink.bytes().equals(large)).toBe(true)
    const rest = keeper()
    const had = 7_000_001
    const report = await client.download(id, rest, {
      verify: 'strict',
      resumeFrom: { bytes: had, read: () => sourceOf(large.subarray(0, had)).open() },
    })
    expect(rest.bytes().equals(large.subarray(had))).toBe(true)
    expect(report.hash?.verified).toBe(true)
    expect(Buffer.from(await client.readRange(id, 1000, 5000)).equals(large.subarray(1000, 6000))).toBe(true)
    expect((await client.readRange(id, large.length - 3, 100)).length).toBe(3)
    expect((await client.readRange(id, large.length, 100)).length).toBe(0)
    const parts: Buffer[] = []
    for await (const bytes of client.read(id)) parts.push(Buffer.from(bytes))
    expect(Buffer.concat(parts).equals(large)).toBe(true)
  })

  it('has tags, pages, patches and tasks', async () => {
    const id = await makeImage(client, undefined, { name: 'patched' })
    await client.addTag(id, 'a b')
    expect((await client.show(id)).tags).toEqual(['a b'])
    await client.removeTag(id, 'a b')
    await client.update(id, { 'odd~name/x': '1', name: 'renamed' })
    expect(await client.show(id)).toMatchObject({ 'odd~name/x': '1', name: 'renamed' })
    await expect(client.patch(id, [{ op: 'remove', path: '/nothing' }])).rejects.toMatchObject({
      status: 409,
    })
    const names: unknown[] = []
    for await (const image of client.list({ pageSize: 2, sortKeys: ['name'], sortDirections: ['asc'] }))
      names.push(image.id)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain(id)
    const wrong = client.list({ filters: { visibility: 'nonsense' } })
    await expect(wrong[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'INVALID' })
    expect(await client.tasks(id)).toEqual([])
    expect(await client.importInfo()).toHaveProperty('import-methods')
  })

  it('tells an image without data, one whose data is lost, and one that is cut on the server', async () => {
    const empty = await makeImage(client, undefined)
    await expect(client.download(empty, keeper())).rejects.toThrow(/image contains no data\./)
    await client.upload(empty, sourceOf(Buffer.alloc(0)))
    expect((await client.download(empty, keeper(), { verify: 'strict' })).bytes).toBe(0)
    const cut = await makeImage(client, data)
    await truncate(path.join(glance.directory, 'glance', 'fast', cut), 2_000_000)
    const impatient = createGlanceClient({ endpoint: glance.url, ...quick, stallTimeoutMs: 3000 })
    const start = performance.now()
    await expect(impatient.download(cut, keeper())).rejects.toMatchObject({
      code: 'IMAGE_DOWNLOAD_FAILED',
      partial: true,
    })
    expect(performance.now() - start).toBeLessThan(15_000)
    await impatient.close()
  })
})
