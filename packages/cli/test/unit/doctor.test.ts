import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench, type World } from '../helpers/run-command.ts'

interface Check {
  readonly name: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly found: string
  readonly advice?: string
}

async function look(
  bench: Workbench,
  environment: NonNullable<World['environment']> = {},
  ...argv: string[]
): Promise<{ exitCode: number; ok: boolean; of: (name: string) => Check | undefined }> {
  const told = await bench.json<{ ok: boolean; checks: Check[] }>(['doctor', ...argv], { environment })
  // Whatever is not well says what to do.
  expect(told.checks.filter(({ status, advice }) => (status === 'ok') !== (advice === undefined))).toEqual([])
  return { ...told, of: (name) => told.checks.find((check) => check.name === name) }
}

test('doctor tells what is here, and that all is well', async () => {
  await using bench = await openWorkbench()
  const { exitCode, ok, of } = await look(bench)
  expect({ exitCode, ok }).toEqual({ exitCode: 0, ok: true })
  expect(of('Node.js')).toEqual({ name: 'Node.js', status: 'ok', found: process.versions.node })
  expect(of('qemu-img')).toMatchObject({ status: 'ok', found: expect.stringMatching(/^\d+\.\d/) })
  expect(of('temporary files')).toMatchObject({ status: 'ok', found: bench.path('conversion') })
  for (const name of ['sandbox', 'O_DIRECT', 'holes', 'reflink', 'space']) expect(of(name)).toBeDefined()
  expect(of('left behind')).toMatchObject({ found: 'nothing' })
  expect(of('proxies')).toMatchObject({ found: 'none' })
  expect(of('cloud')).toBeUndefined()
  const { stdout } = await bench.run(['doctor', '--sandbox', 'off'])
  expect(stdout).toMatch(/^warn +sandbox +off, by --sandbox\n +What to do: /m)
  expect((await bench.run(['doctor', '--quiet'])).stdout).toBe('')
})

test('doctor fails where a transfer would, and shows no secret', async () => {
  await using bench = await openWorkbench()
  await mkdir(bench.path('conversion'))
  await chmod(bench.path('conversion'), 0o777)
  await writeFile(bench.path('authorities.pem'), 'none')
  const environment = {
    https_proxy: 'http://user:secret@proxy.example:3128',
    no_proxy: 'localhost',
    SSL_CERT_FILE: bench.path('missing.pem'),
  }
  const { exitCode, of } = await look(bench, environment)
  expect(exitCode).toBe(1)
  expect(of('temporary files')).toMatchObject({ status: 'fail', found: expect.stringContaining('mode 777') })
  expect(of('proxies')).toMatchObject({
    status: 'ok',
    found: 'https through http://proxy.example:3128, not for localhost',
  })
  expect(of('authorities')).toMatchObject({ status: 'fail', found: expect.stringContaining('SSL_CERT_FILE') })
  expect(await look(bench, { http_proxy: 'socks5://user:secret@host' })).toMatchObject({ exitCode: 1 })
  const unsafe = await look(bench, { NODE_TLS_REJECT_UNAUTHORIZED: '0' })
  expect(unsafe.of('authorities')).toMatchObject({ status: 'warn' })
})

test('doctor asks the service that is given', async () => {
  await using bench = await openWorkbench()
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end('{"images": []}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { of } = await look(bench, {}, '--glance', url)
  server.close()
  server.closeAllConnections()
  expect(of('cloud')).toEqual({ name: 'cloud', status: 'ok', found: `the Glance at ${url}` })
  const gone = await look(bench, {}, '--glance', url, '--retries', '0')
  expect(gone).toMatchObject({ exitCode: 1 })
  expect(gone.of('cloud')).toMatchObject({ status: 'fail' })
})
