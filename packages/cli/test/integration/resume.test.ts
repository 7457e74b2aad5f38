import { createHash, randomBytes } from 'node:crypto'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { link, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { requireTool, startGlance, startRegistry } from '@disk-image/testing'
import S3rver from 's3rver'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startCommand } from '../helpers/command.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const MiB = 1024 * 1024
const stopsAt = 44 * MiB
const disk = Buffer.concat([
  Buffer.alloc(3 * MiB),
  randomBytes(20 * MiB),
  Buffer.alloc(4 * MiB),
  randomBytes(33 * MiB),
])
const sum = createHash('sha256').update(disk).digest('hex')

/** A server that stops in the middle, and says what it was asked for: no real one stops where it is told. */
const web = { stops: true, etag: '"one"', data: disk, asked: [] as (string | undefined)[], url: '' }
const server = createServer((request, response) => {
  const { range } = request.headers
  web.asked.push(range)
  const isSame = (request.headers['if-range'] ?? web.etag) === web.etag
  const [, first, last] = (isSame ? /^bytes=(\d+)-(\d*)$/.exec(range ?? '') : null) ?? []
  const start = Number(first ?? 0)
  const end = last === undefined || last === '' ? web.data.length : Number(last) + 1
  response.writeHead(first === undefined ? 200 : 206, {
    ETag: web.etag,
    'Accept-Ranges': 'bytes',
    'Content-Length': end - start,
    ...(first === undefined ? {} : { 'Content-Range': `bytes ${start}-${end - 1}/${web.data.length}` }),
  })
  if (web.stops && end > stopsAt) response.write(web.data.subarray(start, stopsAt))
  else response.end(web.data.subarray(start, end))
})

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  web.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.raw?secret=word&id=1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const unfinished = async (bench: Workbench): Promise<string[]> =>
  (await readdir(bench.folder)).filter((name) => name.endsWith('.partial'))

/** Fetches until a part is on the disk, and is killed. @returns the part's name */
async function killInTheMiddle(
  bench: Workbench,
  words: readonly string[],
  url = web.url,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  Object.assign(web, { stops: true, etag: '"one"', data: disk })
  const { child, ended } = startCommand(['fetch', url, 'out.raw', ...words], {
    cwd: bench.folder,
    environment,
  })
  const isRecorded = async (): Promise<boolean> => {
    const name = (await unfinished(bench)).find((one) => one.includes('part-record'))
    // It is written just after it is made.
    return name !== undefined && (await stat(bench.path(name))).size > 0
  }
  for (let tries = 0; tries < 200 && !(await isRecorded()); tries += 1) await delay(50)
  child.kill('SIGKILL')
  await ended
  const names = await unfinished(bench)
  expect(names).toHaveLength(2)
  const record = names.find((name) => name.includes('part-record')) ?? ''
  expect(await readFile(bench.path(record), 'utf8')).not.toMatch(/secret|127\.0/)
  Object.assign(web, { stops: false, asked: [] })
  return names.find((name) => name !== record) ?? ''
}

/** A relay before a real server, which stops in the middle of what is long, and says what was asked of that. */
async function startRelay(target: string): Promise<AsyncDisposable & { readonly url: string }> {
  const relay = createServer((incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming
    const onward = request(new URL(url, target), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      const isData = method === 'GET' && Number(answer.headers['content-length']) > MiB
      if (isData) web.asked.push(headers.range)
      let left = isData && web.stops ? stopsAt : Number.POSITIVE_INFINITY
      answer.on('data', (bytes: Buffer) => {
        if (left > 0) outgoing.write(bytes.subarray(0, Math.min(left, bytes.length)))
        left -= bytes.length
      })
      answer.on('end', () => left > 0 && outgoing.end())
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    url: `http://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      relay.closeAllConnections()
      relay.close()
      await once(relay, 'close')
    },
  }
}

/** Kills a fetch through the relay, and fetches again. */
async function killAndGoOn(
  bench: Workbench,
  words: readonly string[],
  source: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  await killInTheMiddle(bench, words, source, environment)
  const argv = ['fetch', source, 'out.raw', '--json', ...words]
  const { exitCode, stdout, stderr } = await startCommand(argv, { cwd: bench.folder, environment }).ended
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  const report = JSON.parse(stdout) as Report & { readonly verified: readonly unknown[] }
  expect(report.resumedBytes).toBeGreaterThanOrEqual(8 * MiB)
  expect(report.resumedBytes + report.bytesDownloaded).toBe(disk.length)
  expect(report.verified.length).toBeGreaterThan(0)
  expect(web.asked).toEqual([`bytes=${report.resumedBytes}-`])
  expect((await readFile(bench.path('out.raw'))).equals(disk)).toBe(true)
  expect(await unfinished(bench)).toEqual([])
}

const words = ['--as', 'raw']
interface Report {
  readonly resumedBytes: number
  readonly bytesDownloaded: number
}

test.each([[['--checksum', `sha256:${sum}`]], [[]]])(
  'what a killed fetch has on the disk is not fetched again: %j',
  async (checksum) => {
    await using bench = await openWorkbench()
    const signed = (signature: string): string =>
      `${web.url}&X-Amz-Date=${signature}&X-Amz-Signature=${signature}`
    await killInTheMiddle(bench, [...words, ...checksum], signed('1'))
    const report = await bench.json<Report>(['fetch', signed('2'), 'out.raw', ...words, ...checksum])
    expect(report.exitCode).toBe(0)
    expect(report.resumedBytes).toBeGreaterThanOrEqual(8 * MiB)
    expect(report.resumedBytes + report.bytesDownloaded).toBe(disk.length)
    // A look at the first bytes tells what they are, and is left for what is missing.
    expect(web.asked).toEqual([undefined, `bytes=${report.resumedBytes}-`])
    expect((await readFile(bench.path('out.raw'))).equals(disk)).toBe(true)
    const { blocks, nlink } = await stat(bench.path('out.raw'))
    expect(nlink).toBe(1)
    expect(blocks * 512).toBeLessThan(disk.length - 4 * MiB)
    expect(await unfinished(bench)).toEqual([])
  },
  60_000,
)

test('a part that was changed is refused as a whole, and the next fetch begins anew', async () => {
  await using bench = await openWorkbench()
  const checksum = ['--checksum', `sha256:${sum}`]
  const part = await killInTheMiddle(bench, [...words, ...checksum])
  const handle = await open(bench.path(part), 'r+')
  await handle.write(Buffer.from('changed'), 0, 7, 4 * MiB)
  await handle.close()
  const refused = await bench.run(['fetch', web.url, 'out.raw', ...words, ...checksum])
  expect(refused.exitCode).not.toBe(0)
  expect(refused.stderr).toMatch(/sha256/)
  expect((await readdir(bench.folder)).filter((name) => name.includes('out.raw'))).toEqual([])
  const report = await bench.json<Report>(['fetch', web.url, 'out.raw', ...words, ...checksum])
  expect(report).toMatchObject({ exitCode: 0, resumedBytes: 0, bytesDownloaded: disk.length })
}, 60_000)

test('other bytes at the same URL, the same ETag at another, a damaged record, or a second name of the part: it begins anew', async () => {
  await using bench = await openWorkbench()
  const again = async (data: Buffer, url = web.url): Promise<void> => {
    const report = await bench.json<Report>(['fetch', url, 'out.raw', ...words])
    expect(report).toMatchObject({ exitCode: 0, resumedBytes: 0, bytesDownloaded: disk.length })
    expect((await readFile(bench.path('out.raw'))).equals(data)).toBe(true)
    expect(await unfinished(bench)).toEqual([])
    await rm(bench.path('out.raw'))
  }
  await killInTheMiddle(bench, words)
  const other = randomBytes(disk.length)
  Object.assign(web, { etag: '"two"', data: other })
  await again(other)

  await killInTheMiddle(bench, words)
  await again(disk, web.url.replace('id=1', 'id=2'))

  const damaged = await killInTheMiddle(bench, words)
  const record = await open(bench.path(damaged.replace(/\.partial$/, '.part-record.partial')), 'r+')
  await record.write(Buffer.from('0'), 0, 1, 40)
  await record.close()
  await again(disk)

  const linked = await killInTheMiddle(bench, words)
  await link(bench.path(linked), bench.path('second'))
  const before = await readFile(bench.path('second'))
  await again(disk)
  expect((await readFile(bench.path('second'))).equals(before)).toBe(true)
}, 90_000)

test('a fetch from a Glance goes on after a kill', async () => {
  await using bench = await openWorkbench()
  const glance = await startGlance()
  try {
    await writeFile(bench.path('disk.raw'), disk)
    const upload = ['upload', 'disk.raw', '--name', 'disk', '--quiet', '--glance', glance.url]
    const { stdout } = await bench.run(upload)
    await using relay = await startRelay(glance.url)
    await killAndGoOn(bench, ['--glance', relay.url], stdout.trim())
  } finally {
    await glance.stop()
  }
}, 90_000)

test('a fetch from a registry goes on after a kill', async () => {
  await using bench = await openWorkbench()
  await using registry = await startRegistry()
  await writeFile(bench.path('disk.raw'), disk)
  const push = ['push', 'disk.raw', `oci://${registry.host}/disks/a:1`, '--as', 'artifact']
  expect((await bench.run([...push, '--plain-http', registry.host])).exitCode).toBe(0)
  await using relay = await startRelay(`http://${registry.host}`)
  const { host } = new URL(relay.url)
  await killAndGoOn(bench, [...words, '--plain-http', host], `oci://${host}/disks/a:1`)
}, 90_000)

test('a fetch from S3 goes on after a kill', async () => {
  await using bench = await openWorkbench()
  const directory = bench.path('s3')
  const configureBuckets = [{ name: 'images', configs: [] }]
  const server = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory, configureBuckets })
  const { port } = await server.run()
  try {
    await writeFile(bench.path('disk.raw'), disk)
    const origin = `http://127.0.0.1:${port}`
    const signed = ['--aws-sigv4', 'aws:amz:us-east-1:s3', '--user', 'S3RVER:S3RVER']
    const unsigned = ['--header', 'x-amz-content-sha256: UNSIGNED-PAYLOAD']
    const words = ['--fail', '--silent', ...signed, ...unsigned, '--upload-file', bench.path('disk.raw')]
    await promisify(execFile)(requireTool('curl'), [...words, `${origin}/images/disk.raw`])
    await using relay = await startRelay(origin)
    const environment = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' }
    await killAndGoOn(
      bench,
      ['--as', 'raw', '--endpoint-url', relay.url],
      's3://images/disk.raw',
      environment,
    )
  } finally {
    await server.close()
  }
}, 90_000)
