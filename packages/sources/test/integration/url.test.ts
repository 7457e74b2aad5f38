import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { renameSync } from 'node:fs'
import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type ChecksumList, fetchChecksumList, httpSource, urlCredentials } from '@disk-image/sources'
import type { HttpSource, HttpSourceOptions } from '@disk-image/sources'
import { campaign, freePort, requireTool, startNginx } from '@disk-image/testing'
import type { RunningNginx } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failure, keeper, random, sha256 } from '../helpers/keeper.ts'
import { startRelay } from '../helpers/relay.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const data = randomBytes(24 * MiB + 4321)
const sum = sha256(data)
let folder: string
let nginx: RunningNginx
let python: AsyncDisposable & { readonly url: string }

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'disk-image-url-'))
  await writeFile(path.join(folder, 'disk.raw'), data)
  nginx = await startNginx({ images: [{ file: path.join(folder, 'disk.raw') }] })
  python = await startPython(folder)
})

afterAll(async () => {
  await nginx.stop()
  await python[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Python's own server, which knows no ranges. */
async function startPython(directory: string): Promise<AsyncDisposable & { readonly url: string }> {
  const port = await freePort('127.0.0.1')
  const args = ['-m', 'http.server', String(port), '--bind', '127.0.0.1', '--directory', directory]
  const child = spawn(requireTool('python3'), args, { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; tries < 200; tries += 1) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      break
    await delay(50)
  }
  return { url, [Symbol.asyncDispose]: async () => void child.kill() }
}

const pathOf = (server: RunningNginx): string => `/v2/images/${server.images[0]?.id}/file`

/** As the command has it: the user is the caller. */
function sourceAt(url: string, options: HttpSourceOptions = {}): HttpSource & AsyncDisposable {
  const source = httpSource(url, { allow: { privateAddresses: true }, retryDelayMs: 5, ...options })
  return Object.assign(source, { [Symbol.asyncDispose]: () => source.close() })
}

describe('nginx, with connections that are cut', () => {
  test.each(['end', 'reset'] as const)('by an %s, at random', async (how) => {
    const { seed, runs: cuts } = campaign(50, 200)
    await using relay = await startRelay(nginx.url)
    const next = random(how.length * seed)
    // Cuts are anywhere: also behind no byte, and in the middle of a read.
    const places = Array.from({ length: cuts }, () => Math.floor(((next() * 2) / (cuts + 2)) * data.length))
    relay.cut = (request) => {
      const afterBytes = places[request]
      return afterBytes === undefined ? undefined : { afterBytes, how }
    }
    const sink = keeper()
    const outcomes: number[] = []
    await using source = sourceAt(`${relay.url}${pathOf(nginx)}`, { retries: cuts })
    const running = source.download(sink, { checksums: [{ algorithm: 'sha256', value: sum }] })
    void running.finally(() => outcomes.push(sink.sizeBytes))
    const report = await running
    // It says nothing before all is there.
    expect(outcomes).toEqual([data.length])
    expect(sha256(sink.bytes())).toBe(sum)
    expect(report).toMatchObject({ bytes: data.length, verified: [{ algorithm: 'sha256', value: sum }] })
    expect(relay.requests.length).toBeGreaterThan(cuts * 0.9)
    // What a reset takes back from the socket's buffer has to come again; else no byte does.
    expect(relay.bodyBytes).toBeGreaterThanOrEqual(data.length)
    expect(relay.bodyBytes).toBeLessThanOrEqual(data.length * (how === 'end' ? 1 : 2))
    const ranged = relay.requests.filter((request) => /^range:/im.test(request))
    expect(ranged.length).toBeGreaterThan(cuts * 0.9)
    expect(ranged.every((request) => /^if-range: "/im.test(request))).toBe(true)
  })

  test('another file of the same length in between is an error, and nothing of it is handed on', async () => {
    const file = path.join(nginx.directory, 'root', pathOf(nginx))
    const [before, other] = [path.join(nginx.directory, 'before'), path.join(nginx.directory, 'other')]
    await writeFile(other, data.toReversed())
    // nginx's ETag has whole seconds.
    await utimes(other, 1, 1)
    await using relay = await startRelay(nginx.url)
    relay.cut = (request) => (request === 0 ? { afterBytes: 5 * MiB, how: 'end' } : undefined)
    await using source = sourceAt(`${relay.url}${pathOf(nginx)}`)
    const sink = keeper()
    const error = await failure(
      source.download({
        write: async (chunk) => {
          if (sink.sizeBytes === 0) {
            renameSync(file, before)
            renameSync(other, file)
          }
          await sink.write(chunk)
        },
      }),
    )
    renameSync(before, file)
    expect(error).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: true })
    expect(error.message).toMatch(/replaced during the download: its (ETag|Last-Modified) changed/)
    expect(sink.bytes().equals(data.subarray(0, sink.sizeBytes))).toBe(true)
  })
})

describe('nginx', () => {
  test('tells size and identity with the first part that is read', async () => {
    await using source = sourceAt(`${nginx.url}${pathOf(nginx)}`)
    expect(source.sizeBytes).toBeUndefined()
    expect(Buffer.from(await source.readRange(MiB, 100)).equals(data.subarray(MiB, MiB + 100))).toBe(true)
    expect(source.sizeBytes).toBe(data.length)
    expect(source.identity).toMatch(/^[\da-f]{64}$/)
    expect(await source.readRange(data.length, 10)).toHaveLength(0)
  })

  test('is asked once for the first bytes and for all of it, also where that is cut, ended or begun anew', async () => {
    const asked = async (): Promise<number> => (await nginx.requests()).length
    const before = await asked()
    await using source = sourceAt(`${nginx.url}${pathOf(nginx)}`)
    expect(Buffer.from(await source.peek(512)).equals(data.subarray(0, 512))).toBe(true)
    expect(source).toMatchObject({ sizeBytes: data.length, identity: expect.any(String) as string })
    const whole = keeper()
    const report = await source.download(whole, { checksums: [{ algorithm: 'sha256', value: sum }] })
    expect(whole.bytes().equals(data)).toBe(true)
    expect(report.resumes).toBe(0)
    expect((await asked()) - before).toBe(1)
    // What is looked at and left costs nothing more; a second download asks again.
    await source.peek(512)
    await source.readRange(MiB, 10)
    for (const connections of [2, 1]) {
      const again = keeper()
      await source.download(again, { connections })
      expect(again.bytes().equals(data)).toBe(true)
    }

    await using relay = await startRelay(nginx.url)
    relay.cut = (request) => (request === 0 ? { afterBytes: 700, how: 'reset' } : undefined)
    await using cut = sourceAt(`${relay.url}${pathOf(nginx)}`)
    expect(await cut.peek(512)).toHaveLength(512)
    const rest = keeper()
    await cut.download(rest, { checksums: [{ algorithm: 'sha256', value: sum }] })
    expect(rest.bytes().equals(data)).toBe(true)

    await cut.peek(512)
    const gone = AbortSignal.abort(new Error('enough'))
    await expect(cut.download(keeper(), { signal: gone })).rejects.toThrow('enough')
    await expect(cut.peek(512, { signal: gone })).rejects.toThrow('enough')
  })

  test('is asked over several connections, and from where a part was left', async () => {
    await using source = sourceAt(`${nginx.url}${pathOf(nginx)}`)
    const parallel = keeper()
    await source.download(parallel, { connections: 3 })
    expect(parallel.bytes().equals(data)).toBe(true)
    const rest = keeper()
    const left = 3 * MiB + 17
    const report = await source.download(rest, {
      resumeFrom: {
        bytes: left,
        async *read() {
          yield data.subarray(0, left)
        },
      },
      checksums: [{ algorithm: 'sha256', value: sum }],
    })
    expect(rest.bytes().equals(data.subarray(left))).toBe(true)
    expect(report).toMatchObject({
      bytes: data.length - left,
      verified: [{ algorithm: 'sha256', value: sum }],
    })
  })

  test('with another checksum is refused, and without one the report says what was found', async () => {
    await using source = sourceAt(`${nginx.url}${pathOf(nginx)}`)
    const wrong = [{ algorithm: 'sha256', value: '0'.repeat(64) }]
    expect(await failure(source.download(keeper(), { checksums: wrong }))).toMatchObject({
      code: 'IMAGE_DOWNLOAD_FAILED',
    })
    expect(await source.download(keeper())).toMatchObject({
      hash: { algorithm: 'sha256', value: sum, verified: false },
      verified: [],
    })
  })

  test('of this machine is refused without leave', async () => {
    await using source = sourceAt(`${nginx.url}${pathOf(nginx)}`, { allow: {} })
    const error = await failure(source.download(keeper()))
    expect(error).toMatchObject({ code: 'ADDRESS_REFUSED', rule: 'address' })
  })

  test('on https is known by its authority', async () => {
    const [keyFile, certificateFile] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=here', '-addext', 'subjectAltName=IP:127.0.0.1']
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
    await run(requireTool('openssl'), [
      'req',
      '-x509',
      '-days',
      '2',
      ...key,
      '-out',
      certificateFile,
      ...subject,
    ])
    await using secure = await startNginx({
      images: [{ file: path.join(folder, 'disk.raw') }],
      tls: { certificateFile, keyFile },
    })
    const url = `${secure.url}${pathOf(secure)}`
    const ca = await readFile(certificateFile, 'utf8')
    const sink = keeper()
    await using source = sourceAt(url, { tls: { ca } })
    await source.download(sink)
    expect(sink.bytes().equals(data)).toBe(true)
    await using stranger = sourceAt(url, { retries: 0 })
    expect(await failure(stranger.download(keeper()))).toMatchObject({ code: 'HTTP_CONNECTION_FAILED' })

    // From there to http: only with leave, and without what is secret.
    await using redirecting = https.createServer(
      { key: await readFile(keyFile), cert: ca },
      (_, response) => void response.writeHead(302, { Location: `${relay.url}${pathOf(nginx)}` }).end(),
    )
    await using relay = await startRelay(nginx.url)
    await once(redirecting.listen(0, '127.0.0.1'), 'listening')
    const { port } = redirecting.address() as AddressInfo
    const options = {
      tls: { ca },
      headers: { 'X-Token': 'secret' },
      basicAuth: { user: 'me', password: 'x' },
    }
    await using careful = sourceAt(`https://127.0.0.1:${port}/`, options)
    expect(await failure(careful.download(keeper()))).toMatchObject({
      code: 'ADDRESS_REFUSED',
      rule: 'downgrade',
    })
    expect(relay.requests).toEqual([])
    const allow = { privateAddresses: true, downgrade: true }
    await using careless = sourceAt(`https://127.0.0.1:${port}/`, { ...options, allow })
    await careless.download(sink)
    expect(relay.requests.join()).not.toMatch(/secret|authorization/i)
    expect(relay.requests).toHaveLength(1)
  })
})

describe("Python's http.server, which has no ranges", () => {
  test('is read again after a cut, without a byte twice in the sink', async () => {
    await using relay = await startRelay(python.url)
    relay.cut = (request) => (request < 3 ? { afterBytes: (request + 1) * 4 * MiB, how: 'end' } : undefined)
    await using source = sourceAt(`${relay.url}/disk.raw`)
    const sink = keeper()
    const report = await source.download(sink)
    expect(sink.bytes().equals(data)).toBe(true)
    expect(report.resumes).toBe(3)
  })

  test('another file in between is an error', async () => {
    const file = path.join(folder, 'changing.raw')
    await writeFile(file, data)
    await using relay = await startRelay(python.url)
    relay.cut = (request) => (request === 0 ? { afterBytes: 5 * MiB, how: 'end' } : undefined)
    await using source = sourceAt(`${relay.url}/changing.raw`)
    const sink = keeper()
    let replaced = false
    const error = await failure(
      source.download({
        write: async (chunk) => {
          // Within the second: only the bytes tell.
          if (!replaced) await writeFile(file, data.toReversed())
          replaced = true
          await sink.write(chunk)
        },
      }),
    )
    expect(error).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', partial: true })
    expect(error.message).toMatch(/replaced during the download/)
    expect(sink.bytes().equals(data.subarray(0, sink.sizeBytes))).toBe(true)
  })

  test('offers lists of checksums as GNU and BSD write them', async () => {
    await run(
      'sh',
      [
        '-c',
        'sha256sum disk.raw > SHA256SUMS; sha512sum -b disk.raw > all.sha512; sha256sum --tag disk.raw > CHECKSUM',
      ],
      {
        cwd: folder,
      },
    )
    const options = { allow: { privateAddresses: true } }
    const wanted = { algorithm: 'sha256', value: sum }
    const list = (name: string): Promise<ChecksumList> => fetchChecksumList(`${python.url}/${name}`, options)
    const sums = await list('SHA256SUMS')
    expect(sums.find('disk.raw')).toEqual(wanted)
    expect((await list('CHECKSUM')).find('disk.raw')).toEqual(wanted)
    expect((await list('all.sha512')).find('disk.raw').algorithm).toBe('sha512')
    expect(() => sums.find('other.raw')).toThrow(
      `No checksum of other.raw is in ${python.url}/SHA256SUMS: it has 1 of others: disk.raw`,
    )
    expect(await failure(list('missing'))).toMatchObject({
      status: 404,
      kind: 'not-found',
    })
  })
})

test('credentials come from files and the environment', async () => {
  const headersFile = path.join(folder, 'headers')
  const netrcFile = path.join(folder, 'netrc')
  await writeFile(headersFile, '# for the mirror\nX-Token: a:b c\r\n\nAccept: */*\n')
  await writeFile(
    netrcFile,
    'machine other.example login no password no\nmacdef init\nmachine images.example login evil\n\nmachine images.example\n login "me and" # a comment\n password p"w\ndefault login anonymous password x',
  )
  const url = 'https://images.example/disk'
  expect(await urlCredentials(url, { headersFile, netrcFile })).toEqual({
    headers: { 'X-Token': 'a:b c', Accept: '*/*' },
    basicAuth: { user: 'me and', password: 'p"w' },
  })
  expect(await urlCredentials('https://else.example/', { environment: { NETRC: netrcFile } })).toMatchObject({
    basicAuth: { user: 'anonymous' },
  })
  const environment = { DISK_IMAGE_URL_USER: 'u', DISK_IMAGE_URL_PASSWORD: 'p' }
  expect(await urlCredentials(url, { environment })).toMatchObject({
    basicAuth: { user: 'u', password: 'p' },
  })
  await writeFile(headersFile, 'no header, but a secret')
  const error = await failure(urlCredentials(url, { headersFile }))
  expect(error.message).toContain('Line 1')
  expect(error.message).not.toContain('secret')
})
