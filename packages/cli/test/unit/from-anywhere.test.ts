import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const data = randomBytes(3 * 1024 * 1024)
const hashOf = (algorithm: string, bytes: Uint8Array = data): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
const wrong = `sha256:${'ab'.repeat(32)}`
const stdin = (bytes: Uint8Array = data): { stdin: AsyncIterable<Uint8Array> } => ({
  stdin: Readable.from([bytes.subarray(0, 100), bytes.subarray(100)]),
})

async function makeImage(bench: Workbench, name: string, bytes: Uint8Array = data): Promise<string> {
  await writeFile(bench.path('made.raw'), bytes)
  const create = ['image', 'create', '--name', name, '--disk-format', 'raw', '--file', 'made.raw', '-q']
  const { exitCode, stdout, stderr } = await bench.run(create)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout.trim()
}

test('an image goes by its name as by its id, and a file of the same name by its path', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench, 'ubuntu-24.04')
  const other = randomBytes(512)
  await writeFile(bench.path('ubuntu-24.04'), other)
  for (const word of [id, 'ubuntu-24.04', 'image:ubuntu-24.04']) {
    const report = await bench.json(['fetch', word, 'volume.raw'])
    expect(report).toMatchObject({ exitCode: 0, imageId: id, hash: { verified: true }, warnings: [] })
    expect(await readFile(bench.path('volume.raw'))).toEqual(data)
  }
  expect(await bench.json(['fetch', './ubuntu-24.04', 'file.raw', '--as', 'raw'])).toMatchObject({
    exitCode: 0,
  })
  expect(await readFile(bench.path('file.raw'))).toEqual(other)
  // Where files are expected it is the other way round.
  expect(await bench.json(['inspect', 'ubuntu-24.04'])).toMatchObject({ virtualSizeBytes: 512 })
  expect(await bench.json(['inspect', 'image:ubuntu-24.04'])).toMatchObject({ virtualSizeBytes: data.length })
})

test('of several images of one name the candidates are told, newest first', async () => {
  await using bench = await openWorkbench()
  const first = await makeImage(bench, 'disk')
  const second = await makeImage(bench, 'disk', data.subarray(0, 1024))
  await bench.run(['image', 'create', '--name', 'disk', '--disk-format', 'raw'])
  const { exitCode, stderr } = await bench.run(['fetch', 'disk', 'volume.raw'])
  expect(exitCode).toBe(2)
  expect(stderr).toMatch(
    new RegExp(
      `2 images have the name disk.*\\n.*${second}  20.*  1024 bytes\\n.*${first}  20.*  ${data.length} bytes`,
    ),
  )
  const none = await bench.json(['fetch', 'other', 'volume.raw'])
  expect(none).toMatchObject({
    exitCode: 4,
    error: { code: 'IMAGE_NOT_FOUND', message: expect.stringContaining('./other') },
  })
  await bench.run(['image', 'create', '--name', 'empty', '--disk-format', 'raw'])
  expect((await bench.run(['fetch', 'empty', 'volume.raw'])).stderr).toContain('is queued')
  expect(await readdir(bench.folder)).not.toContain('volume.raw')
})

test('checksums are compared, every one of them, whatever the source', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  await makeImage(bench, 'disk')
  const right = [
    '--checksum',
    hashOf('md5'),
    '--checksum',
    hashOf('sha256').toUpperCase().replace('SHA', 'sha'),
  ]
  for (const word of ['./disk', 'disk', '-']) {
    const fetch = ['fetch', word, `${word === '-' ? 'stdin' : 'volume'}.raw`]
    const report = await bench.json<{ verified: { algorithm: string }[] }>([...fetch, ...right], stdin())
    expect(report).toMatchObject({ exitCode: 0, hash: { verified: true }, warnings: [] })
    expect(report.verified.map(({ algorithm }) => algorithm)).toEqual(
      expect.arrayContaining(['md5', 'sha256']),
    )
    expect(await readFile(bench.path(fetch[2] ?? ''))).toEqual(data)
    const refused = await bench.json(['fetch', word, 'wrong.raw', ...right, '--checksum', wrong], stdin())
    expect(refused).toMatchObject({ exitCode: 1, error: { code: 'IMAGE_DOWNLOAD_FAILED' } })
  }
  expect((await bench.run(['inspect', 'disk', ...right])).exitCode).toBe(0)
  expect((await bench.run(['inspect', 'disk', '--checksum', wrong])).exitCode).toBe(1)
  const convert = ['convert', 'disk', 'converted.raw', '--from', 'raw', '--to', 'raw']
  expect((await bench.run([...convert, '--checksum', wrong])).exitCode).toBe(1)
  expect((await bench.run([...convert, ...right])).stdout).toContain('md5 verified, sha256 verified')
  expect((await bench.run(['fetch', './disk', 'x', '--checksum', 'crc32:00'])).stderr).toContain(
    'is not known here',
  )
  expect(await readdir(bench.folder)).not.toContain('wrong.raw')
})

test('a source that says nothing of itself is unverified, and is told with the hash that was found', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '-', 'volume.raw'], stdin())
  expect(exitCode).toBe(0)
  expect(stdout).toContain(`unverified: nothing to compare with, ${hashOf('sha256').replace(':', ' ')}`)
  expect(stderr).toContain('could not be verified')
  expect(await bench.json(['fetch', '-', 'volume.raw'], stdin())).toMatchObject({
    imageId: 'standard input',
    warnings: [{ rule: 'unverified' }],
  })
  expect(await readFile(bench.path('volume.raw'))).toEqual(data)
})

test('what a source is wrapped in is told by its bytes, and kept where that is asked for', async () => {
  await using bench = await openWorkbench()
  const packed = gzipSync(data)
  await writeFile(bench.path('disk'), packed)
  for (const word of ['./disk', '-']) {
    expect((await bench.run(['fetch', word, 'volume.raw'], stdin(packed))).exitCode).toBe(0)
    expect(await readFile(bench.path('volume.raw'))).toEqual(data)
    const kept = ['fetch', word, 'kept.raw', '--as', 'raw', '--allow-archives-as-raw']
    expect((await bench.run(kept, stdin(packed))).exitCode).toBe(0)
    expect((await readFile(bench.path('kept.raw'))).subarray(0, packed.length)).toEqual(packed)
  }
  const wrongFormat = await bench.json(['fetch', '-', 'wrong.raw', '--as', 'qcow2'], stdin())
  expect(wrongFormat).toMatchObject({ exitCode: 3, error: { rule: 'format-mismatch' } })
  expect(await readdir(bench.folder)).not.toContain('wrong.raw')
})

test('every command takes an image, and standard input', async () => {
  await using bench = await openWorkbench()
  await makeImage(bench, 'disk')
  const convert = (word: string, ...more: string[]): string[] => [
    'convert',
    word,
    'out',
    '--to',
    'raw',
    ...more,
  ]
  expect((await bench.run(convert('image:disk'))).exitCode).toBe(0)
  expect(await readFile(bench.path('out'))).toEqual(data)
  const other = randomBytes(1024)
  expect((await bench.run(convert('-', '--from', 'raw'), stdin(other))).exitCode).toBe(0)
  expect((await readFile(bench.path('out'))).equals(other)).toBe(true)
  expect((await bench.run(convert('image:disk', '--from', 'qcow2'))).stderr).toContain('is raw by its record')
  expect(await bench.json(['inspect', '-'], stdin(other))).toMatchObject({
    format: 'raw',
    virtualSizeBytes: 1024,
  })
  await writeFile(bench.path('file'), other)
  const both = await bench.run(['inspect', 'file', 'image:disk', '--json'])
  expect(JSON.parse(both.stdout)).toMatchObject([
    { virtualSizeBytes: 1024 },
    { virtualSizeBytes: data.length },
  ])
})

test('an upload from a stream is judged before the image has all of it, and leaves nothing where it is refused', async () => {
  await using bench = await openWorkbench()
  const images = bench.path('images')
  const upload = ['upload', '-', '--name', 'disk', '--store', images]
  const made = await bench.json(['--json', ...upload, '--checksum', hashOf('sha256')], stdin())
  expect(made).toMatchObject({
    exitCode: 0,
    diskFormat: 'raw',
    bytesUploaded: data.length,
    verified: [{ algorithm: 'sha256' }],
    warnings: [],
  })
  const stored = await readdir(images)
  for (const [argv, bytes, code] of [
    [[...upload, '--checksum', wrong], data, 1],
    [upload, gzipSync(data).subarray(0, -9), 3],
    [[...upload, '--volume-format', 'qcow2'], gzipSync(data), 3],
    [upload, zstdCompressSync(Buffer.alloc(192 * 1024 ** 2)), 3],
    [['fetch', '-', 'bomb.raw'], zstdCompressSync(Buffer.alloc(192 * 1024 ** 2)), 3],
    [[...upload, '--disk', 'another'], gzipSync(data), 3],
    [[...upload, '--disk', 'another'], data, 1],
    [[...upload, '--disk-format', 'qcow2'], data, 3],
    [['image', 'create', '--name', 'x', '--file', '-', '--store', images, '--checksum', wrong], data, 1],
  ] as const) {
    expect([argv, (await bench.run(argv, stdin(bytes))).exitCode]).toEqual([argv, code])
    expect(await readdir(images)).toEqual(stored)
  }
})

test('what comes in an envelope goes into an image as what is inside, and is kept where that is asked for', async () => {
  await using bench = await openWorkbench()
  const packed = gzipSync(data)
  await writeFile(bench.path('disk.gz'), packed)
  const sum = ['--checksum', hashOf('sha256', packed)]
  const upload = ['upload', 'disk.gz', '--name', 'a']
  const create = ['image', 'create', '--name', 'b', '--file', '-', ...sum]
  const keep = ['--disk-format', 'raw', '--allow-archives-as-raw']
  const report = await bench.json(upload)
  expect(report).toMatchObject({ bytesUploaded: data.length, unwrapped: { opened: ['gzip'] } })
  expect(await bench.json([...upload, ...sum])).toMatchObject({ unwrapped: { opened: ['gzip'] } })
  expect((await bench.run([...upload, '--volume-format', 'raw'])).exitCode).toBe(3)
  const local = ['image', 'create', '--name', 'c', '--file', 'disk.gz']
  expect(await bench.json(local)).toMatchObject({ size: data.length, disk_format: 'raw' })
  expect((await bench.run([...local, '--disk-format', 'qcow2'])).exitCode).toBe(3)
  expect(await bench.json(create, stdin(packed))).toMatchObject({
    size: data.length,
    container_format: 'bare',
  })
  for (const argv of [
    [...create, ...keep],
    [...create, '--disk-format', 'raw', '--no-inspect'],
    [...create, '--disk-format', 'raw', '--container-format', 'compressed'],
  ]) {
    expect(await bench.json(argv, stdin(packed))).toMatchObject({ size: packed.length })
  }
  expect(await bench.json([...upload, ...keep])).toMatchObject({ bytesUploaded: packed.length })
})

test('inspect tells what is around a disk, and what the disk is', async () => {
  await using bench = await openWorkbench()
  const packed = gzipSync(data)
  const inside = (file: string, bytes = packed): Promise<object> =>
    bench.json(['inspect', file], stdin(bytes))
  const whole = { disk: null, isWhole: true, format: 'raw', virtualSizeBytes: data.length, safe: true }
  await writeFile(bench.path('disk'), packed)
  for (const word of ['disk', '-']) {
    expect(await inside(word)).toMatchObject({
      exitCode: 0,
      format: 'gzip',
      safe: true,
      verdict: 'safe',
      inside: { opened: ['gzip'], problem: null, disks: [whole] },
    })
  }
  const said = await bench.run(['inspect', 'disk', '--as', 'raw'])
  expect(said).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/Format +gzip of raw\n/) })
  expect(said.stdout).toMatch(/Verdict +safe\n +Claimed +raw, and that is what it is/)
  expect(await bench.json(['inspect', 'disk', '--as', 'qcow2'])).toMatchObject({ exitCode: 3, safe: false })
  expect(await inside('-', packed.subarray(0, -9))).toMatchObject({
    exitCode: 3,
    inside: { problem: { rule: 'compressed-container' }, disks: [{ isWhole: false, format: 'raw' }] },
  })
  expect(await inside('-', zstdCompressSync(Buffer.alloc(300 * 1024 ** 2)))).toMatchObject({
    exitCode: 0,
    inside: { problem: null, disks: [{ isWhole: false, format: 'raw' }] },
  })
  const wrapped = gzipSync(await readFile(await unsafeQcow2(bench)))
  expect(await inside('-', wrapped)).toMatchObject({ exitCode: 3, safe: false, verdict: 'not-safe' })
  expect(await inside('-', gzipSync(randomBytes(9 * 1024 ** 2), { level: 1 }))).toMatchObject({
    inside: { problem: null, disks: [{ isWhole: false, format: 'raw' }] },
  })
  await writeFile(bench.path('a.raw'), data)
  execFileSync('tar', ['-C', bench.folder, '-cf', bench.path('a.tar'), 'a.raw', 'disk'])
  execFileSync('xz', ['-1', '-k', bench.path('a.tar')])
  const { stdout } = await bench.run(['inspect', 'a.tar.xz'])
  expect(stdout).toMatch(
    /Opened +xz, tar.*\n +Inside +a\.raw: raw, .*safe\n +Inside +disk: gzip, not a disk image/,
  )
})

async function unsafeQcow2(bench: Workbench): Promise<string> {
  const [base, file] = [bench.path('base.raw'), bench.path('unsafe.qcow2')]
  await writeFile(base, data)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', file])
  return file
}

test('of an OVA each disk is inspected, however large the one before', async () => {
  await using bench = await openWorkbench()
  const unsafe = await unsafeQcow2(bench)
  await writeFile(bench.path('one.raw'), randomBytes(20 * 1024 ** 2))
  await writeFile(bench.path('two.raw'), data)
  const ovf = (second: string): string => `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">
    <References><File id="f1" href="one.raw"/><File id="f2" href="${second}"/></References>
    <DiskSection>
      <Disk diskId="d1" fileRef="f1" capacity="20971520"/>
      <Disk diskId="d2" fileRef="f2" capacity="${data.length}"/>
    </DiskSection></Envelope>`
  for (const second of ['two.raw', path.basename(unsafe)]) {
    await writeFile(bench.path('box.ovf'), ovf(second))
    execFileSync('tar', ['-C', bench.folder, '-cf', bench.path('box.ova'), 'box.ovf', 'one.raw', second])
    const isSafe = second === 'two.raw'
    for (const word of ['box.ova', '-']) {
      const found = await bench.json(['inspect', word], stdin(await readFile(bench.path('box.ova'))))
      expect(found).toMatchObject({
        exitCode: isSafe ? 0 : 3,
        verdict: isSafe ? 'safe' : 'not-safe',
        inside: { unseen: [], disks: [{ disk: 'one.raw' }, { disk: second, safe: isSafe }] },
      })
    }
  }
  const { stdout } = await bench.run(['inspect', 'box.ova'])
  expect(stdout).toMatch(/Verdict +not safe/)
})

test('a source is read no faster than --limit-rate says', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk'), data)
  for (const argv of [
    ['fetch', './disk', 'volume.raw', '--as', 'raw', '--limit-rate', '6M'],
    ['upload', '-', '--name', 'disk', '--limit-rate', '6M'],
    ['upload', 'disk', '--name', 'disk', '--limit-rate', '6M'],
  ]) {
    const startedMs = performance.now()
    expect((await bench.run(argv, stdin())).exitCode).toBe(0)
    // The last MiB may come at once.
    expect([argv, performance.now() - startedMs >= 300]).toEqual([argv, true])
  }
})

test('a list takes every word but standard input', async () => {
  await using bench = await openWorkbench()
  const server = createServer((_request, response) => response.end(data)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk?token=secret`
  const id = await makeImage(bench, 'disk')
  await mkdir(bench.path('files'))
  await writeFile(bench.path('files/a'), data)
  await writeFile(
    bench.path('list'),
    [
      `${id} a.raw`,
      'disk b.raw',
      `./files/a c.raw as=raw checksum=${hashOf('sha256')}`,
      `${url} d.raw as=raw`,
    ].join('\n'),
  )
  const { exitCode, stdout, stderr } = await bench.run(['fetch', '--list', 'list'])
  server.close()
  expect(exitCode).toBe(0)
  expect(`${stdout}${stderr}`).not.toContain('secret')
  expect(stdout).toMatch(/d\.raw.*unverified/)
  for (const name of ['a.raw', 'b.raw', 'c.raw', 'd.raw'])
    expect(await readFile(bench.path(name))).toEqual(data)
  await writeFile(bench.path('list'), '- a.raw\nftp://host/x b.raw\n')
  const refused = await bench.run(['fetch', '--list', 'list'])
  expect(refused.exitCode).toBe(2)
  expect(refused.stderr).toMatch(
    /line 1: Standard input is no image[^]*line 2: No source has the scheme ftp:/,
  )
})

test('a download is kept once, used again where it is right, and forgotten where it is not', async () => {
  await using bench = await openWorkbench()
  const kept = async (): Promise<string[]> => readdir(bench.path('cache'))
  const id = await makeImage(bench, 'disk')
  const fetch = (volume: string, word = 'disk'): Promise<{ exitCode: number }> =>
    bench.json(['fetch', word, volume, '--cache', 'cache'])
  // Several at once download it once; nothing half-written is left.
  const reports = await Promise.all(['a.raw', 'b.raw', 'c.raw'].map((volume) => fetch(volume)))
  for (const report of reports)
    expect(report).toMatchObject({ exitCode: 0, hash: { verified: true }, warnings: [] })
  const [entry = '', ...others] = await kept()
  expect(entry).toMatch(/^[\da-f]{40}\.sha512-[\da-f]{128}\.data$/)
  expect(others).toEqual([])
  // What the store has by now is not looked at.
  const stored = bench.path(`.local/share/disk-image/images/${id}.data`)
  await writeFile(stored, randomBytes(data.length))
  expect(await fetch('d.raw')).toMatchObject({ exitCode: 0, hash: { algorithm: 'sha512', verified: true } })
  for (const name of ['a', 'b', 'c', 'd']) expect(await readFile(bench.path(`${name}.raw`))).toEqual(data)
  await writeFile(bench.path(`cache/${entry}`), randomBytes(data.length))
  expect(await fetch('e.raw')).toMatchObject({ exitCode: 1, error: { code: 'IMAGE_DOWNLOAD_FAILED' } })
  expect(await kept()).toEqual([])
  expect(await readdir(bench.folder)).not.toContain('e.raw')
  await writeFile(stored, data)
  expect(await fetch('e.raw')).toMatchObject({ exitCode: 0 })
  // Nothing tells what a stream is, unless its hash is given.
  await bench.run(['fetch', '-', 'f.raw', '--cache', 'cache'], stdin())
  expect(await kept()).toHaveLength(1)
})

test('a cache holds no more than it may: what was not used for longest goes', async () => {
  await using bench = await openWorkbench()
  const disks = [randomBytes(1024 ** 2), randomBytes(1024 ** 2), randomBytes(1024 ** 2)]
  for (const [index, bytes] of disks.entries()) {
    await writeFile(bench.path(`disk${index}`), bytes)
    const checksum = ['--checksum', hashOf('sha256', bytes)]
    const argv = [
      'fetch',
      `./disk${index}`,
      `${index}.raw`,
      '--cache',
      'cache',
      '--cache-size',
      '2M',
      ...checksum,
    ]
    expect((await bench.run(argv)).exitCode).toBe(0)
  }
  const names = await readdir(bench.path('cache'))
  expect(names).toHaveLength(2)
  expect(names.join()).not.toContain(hashOf('sha256', disks[0]).replace(':', '-'))
  const large = ['fetch', './disk0', 'large.raw', '--cache', 'other', '--cache-size', '1M', '--as', 'raw']
  await writeFile(bench.path('disk0'), data)
  expect((await bench.run([...large, '--checksum', hashOf('sha256')])).exitCode).toBe(0)
  expect(await readdir(bench.path('other')).catch(() => [])).toEqual([])
})
