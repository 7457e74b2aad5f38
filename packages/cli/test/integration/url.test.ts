import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool, type RunningNginx, startNginx } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const run = promisify(execFile)

/** A disk, and a web server that has it as a qcow2 in a folder with a list of checksums. */
async function offer(
  bench: Workbench,
): Promise<
  AsyncDisposable & Pick<RunningNginx, 'requests'> & { readonly disk: Buffer; readonly url: string }
> {
  const disk = Buffer.concat([Buffer.alloc(2 ** 20), randomBytes(2 ** 20), Buffer.alloc(2 ** 20)])
  await writeFile(bench.path('disk.raw'), disk)
  await run(requireTool('qemu-img'), [
    'convert',
    '-O',
    'qcow2',
    bench.path('disk.raw'),
    bench.path('disk.qcow2'),
  ])
  const server = await startNginx({ images: [] })
  const folder = path.join(server.directory, 'root/images')
  await mkdir(folder)
  await run('sh', ['-c', 'cp disk.qcow2 "$0" && cd "$0" && sha256sum disk.qcow2 > SHA256SUMS', folder], {
    cwd: bench.folder,
  })
  return {
    disk,
    requests: () => server.requests(),
    url: `${server.url}/images`,
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

test('an image comes from a URL onto a volume, into another format, into a store, and is looked at', async () => {
  await using bench = await openWorkbench()
  await using web = await offer(bench)
  const url = `${web.url}/disk.qcow2?X-Amz-Signature=secret`
  const sum = ['--checksum', `${web.url}/SHA256SUMS`]
  const report = await bench.json<{ verified?: unknown }>(['fetch', url, 'out.raw', ...sum])
  expect(report).toMatchObject({ exitCode: 0, imageId: `${web.url}/disk.qcow2`, format: 'qcow2' })
  expect(report.verified).toHaveLength(1)
  expect(JSON.stringify(report)).not.toContain('secret')
  expect((await readFile(bench.path('out.raw'))).equals(web.disk)).toBe(true)
  // The answer whose first bytes were looked at is gone on with.
  const asked = (await web.requests()).filter((line) => line.includes('disk.qcow2'))
  expect(asked).toEqual(['GET /images/disk.qcow2?X-Amz-Signature=secret 200 -'])

  expect(
    (await bench.run(['convert', url, 'out.vmdk', '--from', 'qcow2', '--to', 'vmdk', ...sum])).exitCode,
  ).toBe(0)
  await run(requireTool('qemu-img'), ['compare', bench.path('out.vmdk'), bench.path('disk.raw')])
  expect(await bench.json(['inspect', url])).toMatchObject({ exitCode: 0, format: 'qcow2' })
  const store = ['--name', 'x', '--disk-format', 'qcow2', '--store', 'store']
  const created = await bench.json(['image', 'create', '--file', url, ...store, ...sum])
  expect(created).toMatchObject({ exitCode: 0, size: (await readFile(bench.path('disk.qcow2'))).length })
})

test('a list names URLs, and compares each with a hash or with a list of checksums that is fetched once', async () => {
  await using bench = await openWorkbench()
  await using web = await offer(bench)
  const sum = createHash('sha256')
    .update(await readFile(bench.path('disk.qcow2')))
    .digest('hex')
  const url = `${web.url}/disk.qcow2`
  const sums = `${web.url}/SHA256SUMS`
  const lines = [
    `${url} a.raw checksum=sha256:${sum}`,
    `${url} b.raw checksum=${sums}`,
    JSON.stringify({ image: './disk.qcow2', volume: 'c.raw', checksum: `sha256:${sum},${sums}?a=b,c` }),
    `./disk.raw d.raw as=raw checksum=${sums}#disk.raw`,
  ]
  await writeFile(bench.path('list'), lines.join('\n'))
  const wrong = await bench.run(['fetch', '--list', 'list'])
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    2,
    expect.stringContaining(`line 4: No checksum of disk.raw is in ${sums}`),
  ])
  await writeFile(bench.path('list'), lines.slice(0, 3).join('\n'))
  const { exitCode, stdout } = await bench.run(['fetch', '--list', 'list', '--checksum', sums])
  expect(exitCode).toBe(0)
  expect(stdout.match(/sha256 verified/g)).toHaveLength(3)
  for (const name of ['a.raw', 'b.raw', 'c.raw']) {
    expect((await readFile(bench.path(name))).equals(web.disk)).toBe(true)
  }
  expect((await web.requests()).filter((line) => line.includes('SHA256SUMS'))).toHaveLength(4)
})

test('a cache takes a URL that is signed anew for the same, and one with another query for another', async () => {
  await using bench = await openWorkbench()
  await using web = await offer(bench)
  const fetch = async (query: string): Promise<void> => {
    const words = ['fetch', `${web.url}/disk.qcow2?${query}`, 'out.raw', '--cache', 'cache']
    expect((await bench.run(words)).exitCode).toBe(0)
  }
  const kept = async (): Promise<number> => (await readdir(bench.path('cache'))).length
  await fetch('id=1&X-Amz-Date=1&X-Amz-Signature=1')
  expect(await kept()).toBe(1)
  await fetch('id=1&X-Amz-Date=2&X-Amz-Signature=2')
  expect(await kept()).toBe(1)
  // Of the second only the first bytes were looked at.
  const sizes = (await web.requests()).filter((line) => line.includes('disk.qcow2'))
  expect(sizes).toHaveLength(2)
  await fetch('id=2&X-Amz-Date=2&X-Amz-Signature=2')
  expect(await kept()).toBe(2)
})

test('what is wrong with a URL or its checksum is said, without its secrets', async () => {
  await using bench = await openWorkbench()
  await using web = await offer(bench)
  const url = `${web.url}/disk.qcow2`
  const wrong = await bench.run(['fetch', url, 'out', '--checksum', `sha256:${'0'.repeat(64)}`])
  expect([wrong.exitCode, wrong.stderr]).toEqual([
    1,
    expect.stringContaining('the checksum that was given is'),
  ])
  const other = await bench.run(['fetch', url, 'out', '--checksum', `${web.url}/SHA256SUMS#other.qcow2`])
  expect(other.stderr).toContain('No checksum of other.qcow2')
  const login = await bench.run(['fetch', url.replace('//', '//me:secret@'), 'out'])
  expect(login.stderr).toContain('user name or password')
  expect(login.stderr).not.toContain('secret')
  const missing = await bench.run(['fetch', `${web.url}/missing?token=secret`, 'out'])
  expect([missing.exitCode, missing.stderr]).toEqual([4, expect.stringContaining('404')])
  expect(missing.stderr).not.toContain('secret')
  expect(await readFile(bench.path('out')).catch(() => undefined)).toBeUndefined()
})
