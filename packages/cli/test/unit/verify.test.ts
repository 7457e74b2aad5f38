import { createHash, randomBytes } from 'node:crypto'
import { open, readdir, readFile, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const data = Buffer.concat([randomBytes(1024 * 1024), Buffer.alloc(1024 * 1024), randomBytes(1024 * 1024)])

async function makeDisks(bench: Workbench): Promise<void> {
  await writeFile(bench.path('disk.raw'), data)
  for (const name of ['disk.qcow2', 'disk.vmdk', 'disk.vhd']) {
    expect((await bench.run(['convert', 'disk.raw', name])).exitCode).toBe(0)
  }
  await writeFile(bench.path('disk.raw.gz'), gzipSync(data))
  const create = ['image', 'create', '--name', 'disk', '--disk-format', 'qcow2', '--file', 'disk.qcow2']
  expect((await bench.run(create)).exitCode).toBe(0)
}

async function spoil(file: string, at: number): Promise<void> {
  await using handle = await open(file, 'r+')
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at)
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at)
}

test('a volume is compared with an image, wherever that is', async () => {
  await using bench = await openWorkbench()
  await makeDisks(bench)
  const before = await readdir(bench.folder)
  const at = 2 * 1024 * 1024 + 5
  const words = ['disk', './disk.vmdk', './disk.raw', './disk.raw.gz', '-']
  const world = (): { stdin: AsyncIterable<Uint8Array> } => ({ stdin: Readable.from([data]) })
  for (const word of words) {
    const { exitCode, stdout, stderr } = await bench.run(['verify', 'disk.raw', word], world())
    expect([word, exitCode, stderr]).toEqual([word, 0, stderr])
    expect(stdout).toMatch(/^Identical: .*disk\.raw and .*, 3 MiB \(3145728 bytes\)\n$/)
  }
  expect((await bench.run(['verify', 'disk.raw', 'disk', '--quiet'])).stdout).toBe('')
  const key = ['verify', 'disk.qcow2', 'disk']
  expect((await bench.run([...key, '--volume-format', 'qcow2'])).exitCode).toBe(0)
  // As a raw volume, which it is otherwise, it is something else.
  expect((await bench.run(key)).exitCode).not.toBe(0)
  await spoil(bench.path('disk.raw'), at)
  for (const word of words.filter((name) => name !== './disk.raw')) {
    const { exitCode, stdout } = await bench.run(['verify', 'disk.raw', word], world())
    expect([word, exitCode, stdout.startsWith(`Different at byte ${at} (`)]).toEqual([word, 1, true])
  }
  expect(await bench.json(['verify', 'disk.raw', 'disk'])).toMatchObject({
    exitCode: 1,
    identical: false,
    differsAt: at,
    volumeFormat: 'raw',
    volumeBytes: data.length,
  })
  expect((await readdir(bench.folder)).filter((name) => name !== 'conversion')).toEqual(before)
  expect(await readdir(bench.path('conversion'))).toEqual([])
})

test('a volume is compared with a checksum of its content, all of it or its start', async () => {
  await using bench = await openWorkbench()
  await makeDisks(bench)
  const sumOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const qcow2 = ['verify', 'disk.qcow2', '--volume-format', 'qcow2', '--checksum']
  expect(await bench.json([...qcow2, sumOf(data)])).toMatchObject({
    exitCode: 0,
    identical: true,
    sizeBytes: data.length,
    found: [{ algorithm: 'sha256' }],
  })
  const start = ['verify', 'disk.raw', '--checksum', sumOf(data.subarray(0, 1_500_000)), '--size']
  expect((await bench.run([...start, '1500000B'])).stdout).toMatch(/^Identical: .*disk\.raw, .*, sha256 /)
  const different = await bench.run([...start, '1M'])
  expect(different).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/^Different: /) })
  for (const [argv, message] of [
    [['disk.raw'], 'Give IMAGE or --checksum'],
    [['disk.raw', './disk.raw', '--size', '1M'], '--size is for --checksum'],
    [['-', './disk.raw'], 'Standard input can only be read once'],
  ] as const) {
    const { exitCode, stderr } = await bench.run(['verify', ...argv])
    expect([argv, exitCode, stderr.includes(message)]).toEqual([argv, 2, true])
  }
})

test('two disks are compared, whatever they are', async () => {
  await using bench = await openWorkbench()
  await makeDisks(bench)
  const pairs = [
    ['disk.raw', 'disk.vmdk'],
    ['disk.vmdk', 'disk.qcow2'],
    ['disk.raw.gz', 'disk.vhd'],
    ['image:disk', 'disk.vhd'],
    ['disk.raw', '-'],
  ]
  for (const pair of pairs) {
    const world = { stdin: Readable.from([await readFile(bench.path('disk.qcow2'))]) }
    const { exitCode, stdout } = await bench.run(['compare', ...pair], world)
    expect([pair, exitCode, stdout.slice(0, 9)]).toEqual([pair, 0, 'Identical'])
  }
  await spoil(bench.path('disk.raw'), 1024 * 1024)
  for (const pair of [
    ['disk.raw', 'disk.vmdk'],
    ['disk.vmdk', 'disk.raw'],
  ]) {
    const { exitCode, stdout } = await bench.run(['compare', ...pair])
    expect([exitCode, stdout.slice(0, 42)]).toEqual([
      1,
      'Different at byte 1048576 (1 MiB from the s'.slice(0, 42),
    ])
  }
  expect(await bench.json(['compare', 'disk.vmdk', 'disk.qcow2', '--from', 'vhd'])).toMatchObject({
    exitCode: 3,
    error: { rule: 'format-mismatch' },
  })
  const neither = await bench.run(['compare', 'image:disk', 'disk.raw.gz'])
  expect(neither).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('fetch one of them first') })
})
