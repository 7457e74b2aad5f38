import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const data = randomBytes(2 * 1024 * 1024)

async function convert(bench: Workbench, ...operands: string[]): Promise<string> {
  const { exitCode, stderr } = await bench.run(['convert', ...operands])
  expect([operands, exitCode, stderr]).toEqual([operands, 0, stderr])
  return stderr
}

test('a disk is what the inspector finds, and becomes what its new name ends with', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  for (const ending of ['qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'IMG', 'hdd']) {
    expect(await convert(bench, 'disk', `made.${ending}`)).toContain('Source: raw, as the inspector found\n')
    const found = ending === 'IMG' ? 'raw' : ending === 'hdd' ? 'parallels' : ending
    expect(await bench.json(['inspect', `made.${ending}`])).toMatchObject({ format: found, safe: true })
    expect(await convert(bench, `made.${ending}`, 'back.raw')).toContain(`Source: ${found}, as the`)
    expect((await readFile(bench.path('back.raw'))).equals(data)).toBe(true)
  }
  const { stderr } = await bench.run(['convert', 'disk', 'quiet.raw', '--quiet'])
  expect(stderr).toBe('')
  await convert(bench, 'disk', 'made.qcow2', 'machine.ova')
  await convert(bench, 'machine.ova', 'one.raw', 'two.raw')
  expect((await readFile(bench.path('two.raw'))).equals(data)).toBe(true)
  const differing = await bench.run(['convert', 'machine.ova', 'one.vhd', 'two.raw'])
  expect(differing).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('one.vhd would be vhd') })
  await mkdir(bench.path('folder'))
  await rename(bench.path('made.vmdk'), bench.path('folder/made.vmdk'))
  expect((await bench.run(['convert', 'folder', 'x.raw'])).stderr).toContain('no VMDK descriptor')
})

test('what is not read from a file is found as well', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  await convert(bench, 'disk', 'disk.qcow2')
  const qcow2 = await readFile(bench.path('disk.qcow2'))
  await writeFile(bench.path('disk.qcow2.gz'), gzipSync(qcow2))
  expect(await convert(bench, 'disk.qcow2.gz', 'a.raw')).toContain('Source: qcow2, as')
  const piped = await bench.run(['convert', '-', 'b.raw'], { stdin: Readable.from([qcow2]) })
  expect(piped).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('Source: qcow2, as') })
  const server = createServer((request, response) => {
    const [, from = '0', to = ''] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
    const end = to === '' ? qcow2.length : Math.min(Number(to) + 1, qcow2.length)
    const part = qcow2.subarray(Number(from), end)
    const isPart = request.headers.range !== undefined
    response.writeHead(isPart ? 206 : 200, {
      'accept-ranges': 'bytes',
      'content-length': part.length,
      ...(isPart ? { 'content-range': `bytes ${from}-${end - 1}/${qcow2.length}` } : {}),
    })
    response.end(request.method === 'HEAD' ? undefined : part)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    expect(await convert(bench, `${url}/disk.img`, 'c.raw')).toContain('Source: qcow2, as')
    const other = await bench.run(['convert', `${url}/disk.vmdk`, 'd.raw'])
    expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('can be qcow2 or vmdk') })
  } finally {
    server.close()
  }
  for (const name of ['a.raw', 'b.raw', 'c.raw']) {
    expect((await readFile(bench.path(name))).equals(data)).toBe(true)
  }
})

test('what could be two things is refused, with what to say', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  await convert(bench, 'disk', 'disk.qcow2')
  await convert(bench, 'disk', 'fixed.vhd', '--subformat', 'fixed')
  await copyFile(bench.path('disk.qcow2'), bench.path('guest.raw'))
  await copyFile(bench.path('disk'), bench.path('empty.vmdk'))
  await copyFile(bench.path('fixed.vhd'), bench.path('fixed'))
  await writeFile(bench.path('disk.gz'), gzipSync(data))
  await writeFile(bench.path('secret'), 'a passphrase')
  await convert(bench, 'disk', 'made.luks', '--passphrase-file', 'secret')
  await copyFile(bench.path('made.luks'), bench.path('sealed'))
  const before = await readdir(bench.folder)
  for (const [argv, message] of [
    [['guest.raw', 'x.vhd'], 'guest.raw can be qcow2 or raw: its name says raw'],
    [['empty.vmdk', 'x.vhd'], 'empty.vmdk can be raw or vmdk'],
    [['fixed', 'x.raw'], 'fixed can be vhd or raw: only its end'],
    [['sealed', 'x.raw'], 'sealed can be luks or raw: without a key'],
    [['disk.gz', 'x.raw', '--allow-archives-as-raw'], 'disk.gz can be gzip or raw'],
    [['disk', 'x.gz'], 'Say with --to FORMAT what x.gz shall be'],
    [['disk', 'x'], 'Say with --to FORMAT what x shall be'],
    [['disk', '-'], 'Say with --to FORMAT what goes to standard output'],
    [['disk', 'guest.raw', 'x.ova'], 'guest.raw can be qcow2 or raw'],
  ] as const) {
    const { exitCode, stdout, stderr } = await bench.run(['convert', ...argv])
    expect([argv, exitCode, stdout, stderr.includes(message)]).toEqual([argv, 2, '', true])
  }
  expect(await readdir(bench.folder)).toEqual(before)
  // Said, it is clear.
  expect(await bench.run(['convert', 'guest.raw', 'y.raw', '--from', 'qcow2'])).toMatchObject({ exitCode: 0 })
  const key = ['--source-passphrase-file', 'secret', '--decrypt']
  expect(await convert(bench, 'sealed', 'z.raw', ...key)).toContain('Source: luks')
  expect((await readFile(bench.path('z.raw'))).equals(data)).toBe(true)
  await writeFile(bench.path('disk.zip'), Buffer.from('504b030414000000', 'hex'))
  expect(await bench.json(['convert', 'disk.zip', 'x.raw'])).toMatchObject({
    exitCode: 3,
    error: { rule: 'disk-image', found: 'zip' },
  })
})
