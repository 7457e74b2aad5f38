import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { startNginx, startTinyproxy } from '@disk-image/testing'
import { expect, it } from 'vitest'
import { openWorkbench } from '../helpers/run-command.ts'

const data = randomBytes(1_000_000)

it('goes through the proxies of the environment, whether a URL or a cloud is given', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('image'), data)
  await using nginx = await startNginx({ images: [{ file: bench.path('image') }] })
  await using proxy = await startTinyproxy('somebody sesame')
  const { id } = nginx.images[0]!
  const cloud = `clouds:\n  there:\n    auth_type: none\n    auth: { endpoint: ${nginx.url} }\n`
  await mkdir(bench.path('.config/openstack'), { recursive: true })
  await writeFile(bench.path('.config/openstack/clouds.yaml'), cloud)

  const ways = [
    ['--glance', nginx.url],
    ['--cloud', 'there'],
  ]
  for (const [index, way] of ways.entries()) {
    const before = (await proxy.requests()).length
    const http_proxy = `http://somebody:sesame@127.0.0.1:${proxy.port}`
    const volume = `volume-${index}`
    const { exitCode } = await bench.run(['fetch', id, volume, ...way], { environment: { http_proxy } })
    expect(exitCode).toBe(0)
    expect((await readFile(bench.path(volume))).subarray(0, data.length).equals(data)).toBe(true)
    const requests = (await proxy.requests()).slice(before)
    expect(requests).toContain(`GET ${nginx.url}/v2/images/${id}`)
    expect(requests).toContain(`GET ${nginx.url}/v2/images/${id}/file`)

    const after = (await proxy.requests()).length
    const environment = { ALL_PROXY: proxy.url, NO_PROXY: '127.0.0.1' }
    expect((await bench.run(['image', 'show', id, ...way], { environment })).exitCode).toBe(0)
    expect(await proxy.requests()).toHaveLength(after)

    // The password is missing, or wrong, which this proxy has another status for; it is shown nowhere.
    const missing = await bench.run(['image', 'show', id, ...way], { environment: { http_proxy: proxy.url } })
    expect(missing.stderr).toContain(`the proxy ${proxy.url} wants a user name and password`)
    const wrong = { http_proxy: `http://somebody:secret@127.0.0.1:${proxy.port}`, NODE_DEBUG: 'disk-image' }
    const refused = await bench.run(['image', 'show', id, ...way, '--verbose'], { environment: wrong })
    expect(refused.exitCode).not.toBe(0)
    expect(refused.stderr).toContain(`401 from the proxy ${proxy.url} or the server behind it`)
    expect(refused.stderr + refused.stdout).not.toContain('secret')
  }
})

it('refuses what it can not do with the proxy or the authorities that the environment names', async () => {
  await using bench = await openWorkbench()
  const show = (environment: Record<string, string>): Promise<{ exitCode: number; stderr: string }> =>
    bench.run(['image', 'show', 'x', '--glance', 'https://glance.example'], { environment })
  const socks = await show({ all_proxy: 'socks5h://me:secret@proxy.example:1080' })
  expect(socks.stderr).toMatch(/^disk-image: The proxy socks5h:\/\/proxy\.example:1080 .* is not supported/)
  expect(socks.exitCode).toBe(2)
  const nonsense = await show({ https_proxy: 'http://me:secret@proxy.example:port' })
  expect([nonsense.exitCode, nonsense.stderr]).toEqual([2, expect.not.stringContaining('secret')])
  const bundle = await show({ REQUESTS_CA_BUNDLE: bench.folder })
  expect(bundle.stderr).toContain('(REQUESTS_CA_BUNDLE) could not be read: EISDIR')
  expect(bundle.exitCode).toBe(2)
})
