import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openWorkbench } from '../helpers/run-command.ts'

interface InspectReport {
  readonly format: string
  readonly virtualSizeBytes: number
  readonly safe: boolean
  readonly matches?: boolean
  readonly checks: readonly { name: string; ok: boolean; reason: string | null }[]
}

/** A qcow2 header, version 2, of a disk of 1 MiB, with a backing file if one is named. */
function qcow2Header(backingFile: string = ''): Buffer {
  const bytes = Buffer.alloc(4 * 65536)
  bytes.write('QFI\u00fb', 0, 'latin1')
  bytes.writeUInt32BE(2, 4)
  if (backingFile !== '') {
    bytes.writeBigUInt64BE(72n, 8)
    bytes.writeUInt32BE(backingFile.length, 16)
    bytes.write(backingFile, 72)
  }
  bytes.writeUInt32BE(16, 20)
  bytes.writeBigUInt64BE(1048576n, 24)
  bytes.writeUInt32BE(1, 36)
  bytes.writeBigUInt64BE(0x30000n, 40)
  bytes.writeBigUInt64BE(0x10000n, 48)
  bytes.writeUInt32BE(1, 56)
  bytes.writeBigUInt64BE(0x20000n, 65536)
  for (let cluster = 0; cluster < 4; cluster += 1) bytes.writeUInt16BE(1, 0x20000 + cluster * 2)
  return bytes
}

test('a good qcow2 is told with size and checks', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('good.qcow2'), qcow2Header())
  const report = await bench.json<InspectReport>(['inspect', 'good.qcow2', '--as', 'qcow2'])
  expect(report).toMatchObject({
    exitCode: 0,
    file: bench.path('good.qcow2'),
    format: 'qcow2',
    virtualSizeBytes: 1048576,
    safe: true,
    matches: true,
  })
  expect(report.checks.length).toBeGreaterThan(2)
  for (const check of report.checks)
    expect(Object.keys(check)).toEqual(expect.arrayContaining(['name', 'ok', 'reason']))
  const { stdout } = await bench.run(['inspect', 'good.qcow2'])
  expect(stdout).toMatch(/^ {2}Format +qcow2, version 2/m)
  expect(stdout).toMatch(/^ {2}Disk +1 MiB \(1048576 bytes\)$/m)
  expect(stdout).toMatch(/^ {2}Verdict +safe$/m)
  expect((await bench.json(['inspect', 'good.qcow2'])).exitCode).toBe(0)
})

test('a backing file is shown with its place, and the file is not safe', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('evil.qcow2'), qcow2Header('/etc/passwd'))
  const report = await bench.json<InspectReport>(['inspect', 'evil.qcow2'])
  expect(report).toMatchObject({ exitCode: 3, format: 'qcow2', safe: false })
  expect(report).not.toHaveProperty('matches')
  expect(report.checks.find(({ ok }) => !ok)).toMatchObject({ name: 'backing-file', found: '/etc/passwd' })
  const { stdout, exitCode } = await bench.run(['inspect', 'evil.qcow2'], { terminal: true })
  expect(exitCode).toBe(3)
  expect(stdout).toContain('\u001b[31mnot safe\u001b[39m')
  expect(stdout).toMatch(/✗.*backing-file/)
  expect(stdout).toContain('CVE-')
})

test('what it is claimed to be is compared', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('good.qcow2'), qcow2Header())
  await writeFile(bench.path('zeroes'), Buffer.alloc(1024))
  expect(await bench.json(['inspect', 'good.qcow2', '--as', 'raw'])).toMatchObject({
    exitCode: 3,
    safe: false,
    verdict: 'not-safe',
    matches: false,
  })
  expect(await bench.json(['inspect', 'zeroes', '--as', 'raw'])).toMatchObject({ exitCode: 0, matches: true })
  expect(await bench.json(['inspect', 'zeroes', '--as', 'QCOW2'])).toMatchObject({
    exitCode: 3,
    matches: false,
  })
  const { stdout } = await bench.run(['inspect', 'good.qcow2', '--as', 'raw'])
  expect(stdout).toMatch(/Claimed +raw, which it is not/)
})

/** A header of the seventh edition of UNIX, which has no magic. */
function tarHeader(name: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name)
  header.write('0000644\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write('00000001000\0', 124)
  header.write('00000000000\0', 136)
  header.fill(0x20, 148, 156)
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return header
}

test.each<[string, Buffer, RegExp]>([
  ['gzip', gzipSync('disk').subarray(0, -1), /tar -xzf FILE.*container_format compressed/],
  ['tar', tarHeader('disk.raw'), /tar -xf FILE.*disk\.raw/],
  ['ova', Buffer.concat([tarHeader('box.ovf'), Buffer.alloc(1024)]), /tar -xf FILE.*vmdk/],
  ['xz', Buffer.from('fd377a585a000004', 'hex'), /unxz FILE/],
])('an archive is no danger and no disk: %s', async (format, bytes, advice) => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('download'), bytes)
  const report = await bench.json<InspectReport>(['inspect', 'download', '--as', 'raw'])
  expect(report).toMatchObject({
    exitCode: 3,
    format,
    safe: false,
    verdict: 'not-a-disk-image',
    matches: false,
  })
  expect(report.checks.find(({ ok }) => !ok)?.reason).toMatch(advice)
  const { stdout, exitCode } = await bench.run(['inspect', 'download'])
  expect(exitCode).toBe(3)
  expect(stdout).toMatch(/^ {2}Verdict +not a disk image$/m)
})

test('what is no file is said so', async () => {
  await using bench = await openWorkbench()
  expect(await bench.json(['inspect', 'missing'])).toEqual({
    exitCode: 1,
    error: { code: 'ENOENT', message: `There is no file ${bench.path('missing')}.` },
  })
  expect((await bench.json(['inspect', '.'])).exitCode).toBe(2)
  expect((await bench.json(['inspect', '/dev/null'])).exitCode).toBe(2)
})

test('--verbose says where an error comes from', async () => {
  await using bench = await openWorkbench()
  const { stderr, stdout } = await bench.run(['inspect', 'missing', '--verbose', '--json'])
  expect(JSON.parse(stdout)).toHaveProperty('error')
  expect(stderr).toContain('ENOENT')
})

test('a recorded case says the same as the image, and has nothing else of it', async () => {
  await using bench = await openWorkbench()
  const image = Buffer.concat([qcow2Header('/etc/passwd'), Buffer.alloc(4 * 1024 * 1024, 'secret')])
  await writeFile(bench.path('bad.qcow2'), image)
  const { stderr } = await bench.run(['inspect', 'bad.qcow2', '--record', 'case'])
  expect(stderr).toContain('look at them before you pass it on')
  const { file: _image, ...ofImage } = await bench.json<{ file: string }>(['inspect', 'bad.qcow2'])
  const { file: _case, ...ofCase } = await bench.json<{ file: string }>(['inspect', 'case'])
  expect(ofCase).toEqual(ofImage)
  expect(ofCase.exitCode).toBe(3)
  const recorded = await readFile(bench.path('case'))
  expect(recorded.length).toBe(image.length)
  expect(recorded.subarray(2 * 1024 * 1024, 3 * 1024 * 1024).every((byte) => byte === 0)).toBe(true)
  expect((await stat(bench.path('case'))).mode & 0o777).toBe(0o600)
})

test('a case never takes the place of a file', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('good.qcow2'), qcow2Header())
  await (await open(bench.path('case'), 'w')).close()
  const { exitCode, stderr } = await bench.run(['inspect', 'good.qcow2', '--record', 'case'])
  expect(exitCode).toBe(1)
  expect(stderr).toContain('case exists already, and is not replaced')
})
