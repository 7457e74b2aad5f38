import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { requireTool } from '@disk-image/testing'
import S3rver from 's3rver'
import { crc32 } from 'node:zlib'
import { type DownloadReport } from '@disk-image/core'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { httpSource, presignS3Url, s3Source, type S3SourceOptions } from '../../src/index.ts'
import { authorizationOf, encodeKey, signS3Request } from '../../src/s3/sign.ts'
import { download } from '../helpers/bytes.ts'

const allow = { privateAddresses: true }
const credentials = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' }
const disk = randomBytes(3_000_001)
const key = "folder/a disk (1)+ü'.raw"
const location = `s3://images/${key}`

describe('s3rver', () => {
  let folder: string
  let server: S3rver
  let endpointUrl: string

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 's3-'))
    const configureBuckets = [{ name: 'images', configs: [] }]
    server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory: folder, configureBuckets })
    const { port } = await server.run()
    endpointUrl = `http://127.0.0.1:${port}`
    const url = new URL(`${endpointUrl}/images/${encodeKey(key)}`)
    const payloadHash = createHash('sha256').update(disk).digest('hex')
    const date = new Date()
    const time = date.toISOString().replaceAll(/[-:]|\.\d+/g, '')
    const headers = { 'x-amz-content-sha256': payloadHash, 'x-amz-date': time }
    const scope = { credentials, region: 'us-east-1', service: 's3', date }
    const Authorization = authorizationOf({ method: 'PUT', url, headers, payloadHash }, scope)
    const answer = await fetch(url, { method: 'PUT', headers: { ...headers, Authorization }, body: disk })
    expect(answer.status).toBe(200)
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })

  test('an object is read with signed requests, whole and in parts, and compared with its MD5', async () => {
    const source = await s3Source(location, { endpointUrl, credentials, allow })
    const md5 = createHash('md5').update(disk).digest('hex')
    expect(source).toMatchObject({ sizeBytes: disk.length, promises: [{ algorithm: 'md5', value: md5 }] })
    const { bytes, report } = await download(source, { additionalHashes: ['sha256'] })
    expect(bytes.equals(disk)).toBe(true)
    expect(report.verified).toEqual([{ algorithm: 'md5', value: md5 }])
    expect(Buffer.from((await source.readRange?.(1_000_000, 50)) ?? [])).toEqual(
      disk.subarray(1_000_000, 1_000_050),
    )
    await source.close()
  })

  test('what the AWS command has is used', async () => {
    const file = path.join(folder, 'credentials')
    await writeFile(file, '[mine]\naws_access_key_id=S3RVER\naws_secret_access_key=S3RVER\n')
    const environment = {
      AWS_SHARED_CREDENTIALS_FILE: file,
      AWS_PROFILE: 'mine',
      AWS_ENDPOINT_URL_S3: endpointUrl,
    }
    const source = await s3Source(location, { environment, allow })
    expect((await download(source)).bytes.equals(disk)).toBe(true)
    await source.close()
  })

  test('a presigned URL is taken, and is the same object whenever it was signed', async () => {
    const identities: (string | undefined)[] = []
    for (const date of [new Date(), new Date(Date.now() - 10_000)]) {
      const scope = { credentials, region: 'us-east-1', date }
      const url = presignS3Url(new URL(`${endpointUrl}/images/${encodeKey(key)}`), 60, scope)
      const source = httpSource(url, { allow })
      expect((await download(source)).bytes.equals(disk)).toBe(true)
      identities.push(source.identity)
      await source.close()
    }
    const source = await s3Source(location, { endpointUrl, credentials, allow })
    expect(new Set([source.identity, ...identities]).size).toBe(1)
    expect(source.identity).toBeDefined()
    await source.close()
  })

  test.each<[string, string, Partial<S3SourceOptions>, object]>([
    [
      'an unknown key',
      location,
      { credentials: { accessKeyId: 'WER', secretAccessKey: 'geheim' } },
      { code: 'IMAGE_NOT_AUTHORIZED', message: expect.stringContaining('is not known there') },
    ],
    [
      'no object',
      's3://images/nothing',
      {},
      { code: 'IMAGE_NOT_FOUND', message: expect.stringContaining('The object is not there') },
    ],
    [
      'no bucket',
      's3://nothing/nothing',
      {},
      { code: 'IMAGE_NOT_FOUND', message: expect.stringContaining('The bucket is not there') },
    ],
    ['dots', 's3://images/a/../b', {}, { code: 'INVALID' }],
    ['an address of this machine, for strangers', location, { allow: {} }, { code: 'ADDRESS_REFUSED' }],
  ])('%s', async (_what, where, options, expected) => {
    const error: unknown = await s3Source(where, { endpointUrl, credentials, allow, ...options }).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject(expected)
    expect(String(error) + JSON.stringify(error) + String((error as Error).cause)).not.toContain('geheim')
  })
})

test("our signatures are those of Amazon's own library", () => {
  const program = path.join(import.meta.dirname, '../helpers/sign.py')
  const date = new Date('2026-02-03T04:05:06Z')
  const keys = [
    'a',
    'a/b c',
    "ü/+(!*)'~-._",
    'a//b',
    '%41%',
    'a=b&c;d,e:f@g$h',
    '日本/\u{1f4be}',
    '\'"<>\\^`{|}',
  ]
  const endpoints = [
    'https://images.s3.eu-north-1.amazonaws.com',
    'http://127.0.0.1:9000/images',
    'https://s3.example/x',
  ]
  const cases = keys.flatMap((name) =>
    endpoints.flatMap((endpoint) =>
      [{}, { Range: 'bytes=5-', 'If-Match': '"a  b"' }, { 'x-amz-checksum-mode': 'ENABLED' }].map(
        (headers, at) => ({
          method: at === 2 ? ('HEAD' as const) : ('GET' as const),
          url: `${endpoint}/${encodeKey(name)}`,
          headers,
          credentials: {
            accessKeyId: 'AK',
            secretAccessKey: 's/+=',
            ...(at === 1 && { sessionToken: 't/+=' }),
          },
        }),
      ),
    ),
  )
  const input = JSON.stringify(
    cases.map((one) => ({ ...one, time: '20260203T040506Z', region: 'eu-north-1' })),
  )
  const theirs = JSON.parse(
    execFileSync(requireTool('python3'), [program], { input, encoding: 'utf8' }),
  ) as string[]
  const ours = cases.map(({ method, url, headers, credentials: signer }) => {
    const signed = signS3Request(method, new URL(url), headers, {
      credentials: signer,
      region: 'eu-north-1',
      date,
    })
    return signed['Authorization']
  })
  expect(ours).toEqual(theirs)
})

describe('a server that does what real ones do not', () => {
  const etag = '"0123456789abcdef0123456789abcdef-2"'
  const seen: IncomingMessage[] = []
  let answer: (request: IncomingMessage, response: ServerResponse) => void
  const server = createServer((request, response) => {
    seen.push(request)
    answer(request, response)
  })
  let options: S3SourceOptions
  beforeAll(async () => {
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const endpointUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    options = { endpointUrl, credentials, allow, retries: 2, retryDelayMs: 1 }
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  const describes = (response: ServerResponse, headers: Record<string, string> = {}, body?: Buffer): void => {
    response.writeHead(200, { 'content-length': disk.length, etag, ...headers }).end(body)
  }

  test('a cut is continued behind what came, on the condition that it is the same object', async () => {
    seen.length = 0
    answer = (request, response) => {
      if (request.method === 'HEAD') return describes(response)
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const status = from === 0 ? 200 : 206
      const range = { 'content-range': `bytes ${from}-${disk.length - 1}/${disk.length}` }
      response.writeHead(status, { 'content-length': disk.length - from, etag, ...(from === 0 ? {} : range) })
      response.write(disk.subarray(from, from + 1_200_000), () => {
        if (from + 1_200_000 < disk.length) response.destroy()
        else response.end()
      })
    }
    const source = await s3Source('s3://images/disk', options)
    const { bytes, report } = await download(source)
    await source.close()
    expect(bytes.equals(disk)).toBe(true)
    expect(report.resumes).toBeGreaterThan(0)
    const [, ...gets] = seen
    expect(new Set(gets.map(({ headers }) => headers['if-match']))).toEqual(new Set([etag]))
    expect(gets.every(({ headers }) => headers.authorization?.includes('SignedHeaders=host;if-match;'))).toBe(
      true,
    )
  })

  test.each(['412', 'another tag'])('an object that is replaced meanwhile is not mixed: %s', async (how) => {
    answer = (request, response) => {
      if (request.method === 'HEAD') return describes(response)
      if (request.headers.range === undefined) {
        response.writeHead(200, { 'content-length': disk.length, etag })
        response.write(disk.subarray(0, 1_000_000), () => response.destroy())
      } else if (how === '412') {
        response.writeHead(412).end()
      } else {
        const range = /^bytes=(\d+)-/.exec(request.headers.range)?.[1]
        response.writeHead(206, {
          etag: '"another"',
          'content-range': `bytes ${range}-${disk.length - 1}/${disk.length}`,
        })
        response.end(disk.subarray(Number(range)))
      }
    }
    const source = await s3Source('s3://images/disk', options)
    await expect(download(source)).rejects.toMatchObject({
      code: 'IMAGE_DOWNLOAD_FAILED',
      message: expect.stringContaining('was replaced') as string,
    })
    await source.close()
  })

  test('a wrong clock, an archived object and a token that ended are told from each other', async () => {
    // s3rver takes any signature of this version; botocore is who ours are compared with.
    const words = {
      RequestTimeTooSkewed: 'The clock of this machine is wrong',
      InvalidObjectState: 'restore it first',
      ExpiredToken: 'The session token has ended',
      SignatureDoesNotMatch: 'The secret access key is not the one',
      AccessDenied: 'It may not be read by these credentials',
    }
    for (const [code, text] of Object.entries(words)) {
      answer = (_request, response) => {
        response.writeHead(403, { 'content-type': 'application/xml' })
        response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>geheim</Message></Error>`)
      }
      await expect(s3Source('s3://images/disk', options)).rejects.toThrow(text)
      await expect(s3Source('s3://images/disk', options)).rejects.not.toThrow('geheim')
    }
  })

  test('the region that the server says is signed for', async () => {
    seen.length = 0
    answer = (request, response) => {
      if (request.headers.authorization?.includes('/eu-north-1/s3/') === true) return describes(response)
      response.writeHead(301, { 'x-amz-bucket-region': 'eu-north-1' }).end()
    }
    const source = await s3Source('s3://images/disk', options)
    expect(source.region).toBe('eu-north-1')
    expect(seen).toHaveLength(2)
    await source.close()
    answer = (_request, response) =>
      void response
        .writeHead(301, { location: 'http://169.254.169.254/', 'x-amz-bucket-region': 'evil/../x' })
        .end()
    await expect(s3Source('s3://images/disk', options)).rejects.toThrow(/another region than us-east-1/)
  })

  test('checksums of the whole object count; those of parts, and tags of encrypted objects, do not', async () => {
    const value = createHash('sha256').update(disk).digest()
    const sha256 = { algorithm: 'sha256', value: value.toString('hex') }
    const md5 = { etag: `"${'0'.repeat(32)}"` }
    const checksum = { 'x-amz-checksum-sha256': value.toString('base64') }
    for (const [headers, promises] of [
      [checksum, [sha256]],
      [{ ...checksum, 'x-amz-checksum-type': 'COMPOSITE' }, []],
      [{ 'x-amz-checksum-sha256': `${value.toString('base64')}-2` }, []],
      [{ 'x-amz-checksum-crc32c': '4waSgw==' }, [{ algorithm: 'crc32c', value: 'e3069283' }]],
      [
        { 'x-amz-checksum-crc64nvme': 'rosUhgp5mIg=', 'x-amz-checksum-type': 'FULL_OBJECT' },
        [{ algorithm: 'crc64nvme', value: 'ae8b14860a799888' }],
      ],
      [md5, [{ algorithm: 'md5', value: '0'.repeat(32) }]],
      [{ ...md5, 'x-amz-server-side-encryption': 'AES256' }, [{ algorithm: 'md5', value: '0'.repeat(32) }]],
      [{ ...md5, 'x-amz-server-side-encryption': 'aws:kms' }, []],
      [{ ...md5, 'x-amz-server-side-encryption-customer-algorithm': 'AES256' }, []],
    ] as const) {
      answer = (_request, response) => describes(response, headers)
      const source = await s3Source('s3://images/disk', options)
      expect(source.promises).toEqual(promises)
      await source.close()
    }
  })

  test('a CRC is compared while the object is read; that parts’ sums can’t be, is said', async () => {
    const warn = vi.fn()
    const logger = { debug: () => {}, info: () => {}, warn, error: () => {} }
    const read = async (headers: Record<string, string>): Promise<DownloadReport> => {
      answer = (request, response) =>
        describes(response, headers, request.method === 'HEAD' ? undefined : disk)
      const source = await s3Source('s3://images/disk', { ...options, logger })
      try {
        return (await download(source)).report
      } finally {
        await source.close()
      }
    }
    const value = crc32(disk).toString(16).padStart(8, '0')
    const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')
    const right = await read({ 'x-amz-checksum-crc32': base64(value) })
    expect(right.verified).toEqual([{ algorithm: 'crc32', value }])
    await expect(read({ 'x-amz-checksum-crc32': base64('00000001') })).rejects.toThrow(/the crc32 hash/)
    expect(warn).not.toHaveBeenCalled()
    const parts = await read({ 'x-amz-checksum-crc32': 'AAAAAA==-3', 'x-amz-checksum-type': 'COMPOSITE' })
    expect(parts.verified).toEqual([])
    expect(String(warn.mock.calls[0])).toContain('can’t be compared')
  })
})
