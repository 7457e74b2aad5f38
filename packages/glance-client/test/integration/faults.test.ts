import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ImageError } from '@disk-image/core'
import { createGlanceClient } from '@disk-image/glance-client'
import type { GlanceClient } from '@disk-image/glance-client'
import { startGlance } from '@disk-image/testing'
import type { RunningGlance } from '@disk-image/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startFaultProxy } from './fault-proxy.ts'
import type { Ending, Fault, FaultProxy, SeenRequest } from './fault-proxy.ts'
import { FaultTable, keeper, makeImage, onceOf, quick, randomData, sha512, sourceOf } from './helpers.ts'

const data = randomData(1_200_003)
/** Smaller, for the many uploads. */
const little = data.subarray(0, 200_003)
const table = new FaultTable()
let glance: RunningGlance
let proxy: FaultProxy
/** Straight to Glance, and through the proxy. */
let direct: GlanceClient
let client: GlanceClient
let imageId: string

beforeAll(async () => {
  glance = await startGlance({ stores: 'multi' })
  proxy = await startFaultProxy(glance.url)
  direct = createGlanceClient({ endpoint: glance.url })
  client = createGlanceClient({ endpoint: proxy.url, ...quick })
  imageId = await makeImage(direct, data)
})

afterAll(async () => {
  table.print()
  await client?.close()
  await direct?.close()
  await proxy?.[Symbol.asyncDispose]()
  await glance?.stop()
})

beforeEach(() => {
  proxy.rule = () => ({ kind: 'pass' })
  proxy.seen.length = 0
})

/** The fault for the first requests of an image's data, nothing for the others. */
function onData(method: string, fault: Fault, times = 1): void {
  let left = times
  proxy.rule = (request: SeenRequest) => {
    if (request.method !== method || !request.path.endsWith('/file') || left === 0) return { kind: 'pass' }
    left -= 1
    return fault
  }
}

/** Downloads through the proxy; the outcome goes into the table and is returned. */
async function download(fault: string, id = imageId, expected = data): Promise<string> {
  const sink = keeper()
  try {
    await client.download(id, sink, { verify: 'strict' })
    const right = sink.bytes().equals(expected)
    table.add(fault, right ? 'survived' : 'wrong')
    return right ? 'survived' : 'wrong'
  } catch (error) {
    const typed = ImageError.is(error)
    table.add(fault, typed ? 'refused' : 'wrong')
    return typed ? error.code : String(error)
  }
}

/** Uploads through the proxy to a new image; what Glance has afterwards decides. */
async function upload(fault: string, source = sourceOf(data)): Promise<string> {
  const id = await makeImage(direct, undefined)
  return judgeUpload(fault, id, client.upload(id, source))
}

async function judgeUpload(
  fault: string,
  id: string,
  uploading: Promise<unknown>,
  expected = data,
): Promise<string> {
  let code = 'survived'
  try {
    await uploading
  } catch (error) {
    code = ImageError.is(error) ? error.code : String(error)
  }
  const image = await direct.show(id).catch(() => undefined)
  const sink = keeper()
  if (image?.status === 'active') await direct.download(id, sink)
  const whole = image?.status === 'active' && sink.bytes().equals(expected)
  const fair = code === 'survived' ? whole : image?.status !== 'active' || whole
  table.add(fault, fair ? (code === 'survived' ? 'survived' : 'refused') : 'wrong')
  return fair ? code : `wrong: ${code}, ${image?.status}, ${image?.size}`
}

async function inGroups<T>(
  items: readonly T[],
  width: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  const rest = [...items]
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = rest.shift(); item !== undefined; item = rest.shift()) await act(item)
    }),
  )
}

const offsets = Array.from({ length: 100 }, (_, index) =>
  index < 4 ? [0, 1, data.length - 1, data.length][index]! : Math.floor((index * data.length) / 100) + index,
)
const endings: Ending[] = ['reset', 'end']

describe('downloads', () => {
  it.each(endings)('go on after a %s at each of 100 offsets', async (how) => {
    for (const after of offsets) {
      onData('GET', { kind: 'cut-answer', after, how })
      expect(await download(`download: ${how} at 100 offsets`)).toBe('survived')
    }
  })

  it('go on after several cuts, and after a stall', async () => {
    onData('GET', { kind: 'cut-answer', after: 100_000, how: 'reset' }, 5)
    expect(await download('download: five resets')).toBe('survived')
    onData('GET', { kind: 'cut-answer', after: 500_000, how: 'stall' })
    expect(await download('download: stall once')).toBe('survived')
  })

  it('end with an error where the server stalls or breaks for good', async () => {
    onData('GET', { kind: 'cut-answer', after: 500_000, how: 'stall' }, 1)
    const { rule } = proxy
    proxy.rule = (request) =>
      request.path.endsWith('/file') && request.count > 0 && /range/i.test(request.head)
        ? { kind: 'cut-answer', after: 0, how: 'stall' }
        : rule(request)
    expect(await download('download: stall for good')).toBe('IMAGE_DOWNLOAD_FAILED')
    onData('GET', { kind: 'cut-answer', after: 0, how: 'reset' }, 99)
    expect(await download('download: resets for good')).toBe('IMAGE_DOWNLOAD_FAILED')
  })

  it('never let a changed byte through', async () => {
    for (const at of [0, 1, 600_000, data.length - 1]) {
      onData('GET', { kind: 'corrupt-answer', at })
      expect(await download('download: corrupted byte')).toBe('IMAGE_DOWNLOAD_FAILED')
    }
  })

  it.each([429, 502, 503, 504])('wait and go on after a %i', async (status) => {
    for (const header of [
      '',
      'Retry-After: 0\r\n',
      'Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n',
      'Retry-After: 99999\r\n',
    ]) {
      const text = `HTTP/1.1 ${status} No\r\n${header}Content-Length: 17\r\nContent-Type: text/html\r\n\r\n<h1>not now</h1>\n`
      onData('GET', { kind: 'answer', text })
      expect(await download(`download: ${status}`)).toBe('survived')
    }
  })

  it('do not believe wrong ranges, and do without any', async () => {
    const wrong = [
      'Content-Range: bytes 0-9/10',
      'X-None: 1',
      'Content-Range: bytes 100001-1200002/1200003',
      'Content-Range: bytes 100000-1200002/77',
      'Content-Range: bytes 100000-100100/1200003',
    ]
    for (const header of wrong) {
      proxy.rule = ({ method, path, head }) => {
        if (method !== 'GET' || !path.endsWith('/file')) return { kind: 'pass' }
        if (!/^range:/im.test(head)) return { kind: 'cut-answer', after: 100_000, how: 'end' }
        return { kind: 'edit-head', edit: (text) => text.replace(/content-range:.*/i, header) }
      }
      const seen = await download('download: wrong Content-Range')
      // The first try is cut again and again, as long as no range is believed: it ends in an error, or not at all wrong.
      expect(['survived', 'IMAGE_DOWNLOAD_FAILED']).toContain(seen)
    }
    const refusals = [
      'HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 416 Bad\r\nContent-Length: 0\r\n\r\n',
    ]
    for (const text of refusals) {
      proxy.rule = ({ method, path, head, count }) => {
        if (method !== 'GET' || !path.endsWith('/file')) return { kind: 'pass' }
        if (/^range:/im.test(head)) return { kind: 'answer', text }
        cuts += 1
        return cuts === 1 ? { kind: 'cut-answer', after: 300_000 + count, how: 'reset' } : { kind: 'pass' }
      }
      let cuts = 0
      expect(await download('download: no ranges')).toBe('survived')
    }
  })

  it('take the data from a service that ignores ranges, without what they have', async () => {
    proxy.rule = ({ method, path, head }) => {
      if (method !== 'GET' || !path.endsWith('/file')) return { kind: 'pass' }
      if (!/^range:/im.test(head)) return { kind: 'cut-answer', after: 200_000, how: 'reset' }
      const start = Number(/^range: bytes=(\d+)-/im.exec(head)?.[1])
      return { kind: 'answer', text: `HTTP/1.1 200 OK\r\nContent-Length: ${data.length}\r\n\r\n${start}` }
    }
    // The answers above are not the image: so it must not be accepted.
    expect(await download('download: 200 with other bytes')).toBe('IMAGE_DOWNLOAD_FAILED')
  })

  it('refuse answers that are not HTTP, too long or endless', async () => {
    const answers = [
      'SSH-2.0-OpenSSH_9.2\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n',
      `HTTP/1.1 200 OK\r\nContent-Length: ${data.length + 1}\r\n\r\n`,
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${(data.length + 9).toString(16)}\r\n${'x'.repeat(data.length + 9)}\r\n0\r\n\r\n`,
    ]
    for (const text of answers) {
      onData('GET', { kind: 'answer', text }, 99)
      expect(await download('download: broken answers')).toMatch(
        /IMAGE_DOWNLOAD_FAILED|GLANCE_CONNECTION_FAILED/,
      )
    }
    onData('GET', { kind: 'endless-headers' }, 99)
    expect(await download('download: endless headers')).toBe('GLANCE_CONNECTION_FAILED')
    onData('GET', { kind: 'cut-answer', after: 0, how: 'stall' }, 99)
    proxy.rule = ({ path }) =>
      path.endsWith('/file') ? { kind: 'lose-answer', how: 'stall' } : { kind: 'pass' }
    expect(await download('download: no headers')).toMatch(/IMAGE_DOWNLOAD_FAILED|GLANCE_CONNECTION_FAILED/)
  })

  it('do not carry a token to another host', async () => {
    const heard: unknown[] = []
    const other = createServer((request, response) => {
      heard.push(request.headers)
      response.end('x')
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/file`
    for (const status of [301, 302, 307, 308]) {
      onData('GET', {
        kind: 'answer',
        text: `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`,
      })
      expect(await download('download: redirect to another host')).toBe('GLANCE_HTTP')
    }
    expect(heard).toEqual([])
    other.close()
    onData('GET', {
      kind: 'answer',
      text: `HTTP/1.1 302 Here\r\nLocation: /v2/images/${imageId}/file\r\nContent-Length: 0\r\n\r\n`,
    })
    expect(await download('download: redirect on the same host')).toBe('survived')
    onData(
      'GET',
      {
        kind: 'answer',
        text: `HTTP/1.1 302 Here\r\nLocation: /v2/images/${imageId}/file\r\nContent-Length: 0\r\n\r\n`,
      },
      99,
    )
    expect(await download('download: redirects in circles')).toBe('GLANCE_HTTP')
  })

  it('notice that the image is deleted or replaced midway', async () => {
    const id = await makeImage(direct, data)
    let cut = false
    proxy.rule = ({ method, path }) => {
      if (method !== 'GET' || !path.endsWith('/file') || cut) return { kind: 'pass' }
      cut = true
      void direct.delete(id)
      return { kind: 'cut-answer', after: 50_000, how: 'reset' }
    }
    expect(await download('download: image deleted midway', id)).toMatch(
      /IMAGE_NOT_FOUND|IMAGE_DOWNLOAD_FAILED/,
    )
    onData('GET', { kind: 'cut-answer', after: 50_000, how: 'reset' })
    const { rule } = proxy
    const other = JSON.stringify({ ...(await direct.show(imageId)), os_hash_value: 'ab'.repeat(64) })
    let shown = 0
    proxy.rule = (request) => {
      if (request.path.endsWith('/file') || ++shown === 1) return rule(request)
      return { kind: 'answer', text: `HTTP/1.1 200 OK\r\nContent-Length: ${other.length}\r\n\r\n${other}` }
    }
    expect(await download('download: image replaced midway')).toBe('IMAGE_DOWNLOAD_FAILED')
  })

  it('go on where a restarted server is back', async () => {
    let restarting: Promise<void> | undefined
    proxy.rule = ({ path, head }) => {
      if (!path.endsWith('/file')) return { kind: 'pass' }
      if (!/^range:/im.test(head)) return { kind: 'cut-answer', after: 700_000, how: 'reset' }
      restarting ??= glance.restart()
      return { kind: 'pass' }
    }
    const patient = createGlanceClient({
      endpoint: proxy.url,
      ...quick,
      stallTimeoutMs: 40_000,
      retries: 100,
      retryDelayMs: 200,
      maximumRetryDelayMs: 200,
    })
    const sink = keeper()
    const report = await patient.download(imageId, sink, { verify: 'strict' })
    await restarting
    await patient.close()
    expect(sink.bytes().equals(data)).toBe(true)
    expect(report.resumes).toBeGreaterThan(0)
    table.add('download: server restart', 'survived')
  })

  it('stop within a second when they are cancelled, and as the signal says', async () => {
    onData('GET', { kind: 'cut-answer', after: 100_000, how: 'stall' }, 99)
    const reason = new Error('enough')
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 50)
    const start = performance.now()
    await expect(client.download(imageId, keeper(), { signal: controller.signal })).rejects.toBe(reason)
    expect(performance.now() - start).toBeLessThan(1000)
  })
})

describe('uploads', () => {
  it('are sent again after a reset or end at each of 100 offsets, and never stay cut', async () => {
    const proxies = await Promise.all(Array.from({ length: 5 }, () => startFaultProxy(glance.url)))
    const patient = { retryDelayMs: 5, maximumRetryDelayMs: 50 }
    const clients = new Map(
      proxies.map((one) => [one, createGlanceClient({ endpoint: one.url, ...patient })]),
    )
    const places = offsets.map((offset, index) => ({
      after: Math.floor((offset * little.length) / data.length),
      how: endings[index % 2]!,
    }))
    await inGroups(places, proxies.length, async ({ after, how }) => {
      const own = proxies.shift()!
      let cut = false
      own.rule = ({ method }) => {
        if (method !== 'PUT' || cut) return { kind: 'pass' }
        cut = true
        return { kind: 'cut-request', after, how }
      }
      const id = await makeImage(direct, undefined)
      await clients.get(own)!.upload(id, sourceOf(little))
      const { status, size, os_hash_value: hash } = await direct.show(id)
      const right = status === 'active' && size === little.length && hash === sha512(little)
      table.add(`upload: ${how} at 50 offsets`, right ? 'survived' : 'wrong')
      expect(right).toBe(true)
      proxies.push(own)
    })
    await Promise.all(
      [...clients].map(([own, one]) => Promise.all([one.close(), own[Symbol.asyncDispose]()])),
    )
  })

  it('that cannot be read again fail, and leave nothing active', async () => {
    for (const how of endings) {
      onData('PUT', { kind: 'cut-request', after: 500_000, how })
      expect(await upload('upload: cut, from a pipe', onceOf(data))).toMatch(
        /IMAGE_UPLOAD_FAILED|The pipe was read/,
      )
    }
  })

  it('whose answer is lost are found to be complete', async () => {
    for (const how of endings) {
      onData('PUT', { kind: 'lose-answer', how })
      expect(await upload('upload: answer lost', onceOf(data))).toBe('survived')
    }
    onData('PUT', { kind: 'lose-answer', how: 'stall' })
    expect(await upload('upload: answer never comes', onceOf(data))).toBe('survived')
  })

  it('go on after a stall, 502 and 503', async () => {
    onData('PUT', { kind: 'cut-request', after: 400_000, how: 'stall' })
    expect(await upload('upload: stall once')).toMatch(/survived|IMAGE_UPLOAD_FAILED/)
    for (const status of [429, 502, 503, 504]) {
      onData('PUT', { kind: 'answer', text: `HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n` })
      expect(await upload(`upload: ${status}`)).toBe('survived')
    }
  })

  it('with a source of another size are never active', async () => {
    expect(await upload('upload: source too short', sourceOf(data, data.length + 1))).toBe(
      'IMAGE_UPLOAD_FAILED',
    )
    expect(await upload('upload: source too long', sourceOf(data, data.length - 1))).toBe(
      'IMAGE_UPLOAD_FAILED',
    )
    const broken = {
      size: data.length,
      async *open() {
        yield data.subarray(0, 300_000)
        throw new Error('the disk failed')
      },
    }
    expect(await upload('upload: source fails', broken)).toBe('Error: the disk failed')
  })
})

describe('calls', () => {
  it('are repeated after a reset, and end in an error where nothing helps', async () => {
    let left = 2
    proxy.rule = () => (left-- > 0 ? { kind: 'lose-answer', how: 'reset' } : { kind: 'pass' })
    expect((await client.show(imageId)).id).toBe(imageId)
    proxy.rule = () => ({ kind: 'lose-answer', how: 'end' })
    await expect(client.show(imageId)).rejects.toMatchObject({ code: 'GLANCE_CONNECTION_FAILED' })
    // A creation whose answer is lost may have happened: it is not repeated behind the caller's back.
    proxy.seen.length = 0
    await expect(client.create({ name: 'x' })).rejects.toMatchObject({ code: 'GLANCE_CONNECTION_FAILED' })
    expect(proxy.seen.length).toBe(1)
  })

  it('go to the next endpoint when one is dead', async () => {
    await using two = createGlanceClient({
      endpoint: ['http://127.0.0.1:9', glance.url],
      shuffleEndpoints: false,
      ...quick,
    })
    expect((await two.show(imageId)).id).toBe(imageId)
    const sink = keeper()
    await two.download(imageId, sink)
    expect(sink.bytes().equals(data)).toBe(true)
  })

  it('had no wrong outcome', () => {
    expect(table.wrong).toBe(0)
  })
})
