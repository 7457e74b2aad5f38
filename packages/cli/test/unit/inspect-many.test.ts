import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openWorkbench } from '../helpers/run-command.ts'

test('of several files, or a folder of them, each gets a line', async () => {
  await using bench = await openWorkbench()
  await mkdir(bench.path('images/below'), { recursive: true })
  const data = randomBytes(1024 * 1024)
  await writeFile(bench.path('images/b.raw'), data)
  for (const name of ['c.qcow2', 'd.vmdk']) {
    expect((await bench.run(['convert', 'images/b.raw', `images/${name}`])).exitCode).toBe(0)
  }
  await writeFile(bench.path('images/a.gz'), gzipSync(data))
  const all = await bench.run(['inspect', 'images'])
  expect(all.exitCode).toBe(0)
  expect(all.stdout.replaceAll(bench.folder, '').replaceAll(/ {2,}/g, '  ').split('\n')).toEqual([
    'VERDICT  FILE  FORMAT  DISK  REASON',
    'safe  /images/a.gz  gzip of raw  1 MiB',
    'safe  /images/b.raw  raw  1 MiB',
    'safe  /images/c.qcow2  qcow2  1 MiB',
    'safe  /images/d.vmdk  vmdk  1 MiB',
    '4 files: 4 safe',
    '',
  ])
  await writeFile(bench.path('images/e.zip'), Buffer.from('504b030414000000', 'hex'))
  const refused = await bench.run(['inspect', 'images/b.raw', 'images/e.zip'])
  expect(refused.exitCode).toBe(3)
  expect(refused.stdout).toMatch(/^not a disk image +.*e\.zip +zip +\S.*/m)
  expect(refused.stdout).toContain('2 files: 1 safe, 1 not a disk image')
  const { stdout } = await bench.run(['inspect', 'images', '--json'])
  expect(JSON.parse(stdout)).toHaveLength(5)
  expect((await bench.run(['inspect', 'images', '--verbose'])).stdout).toContain('  Verdict  safe')
  expect((await bench.run(['inspect', 'images/below'])).stderr).toContain('is a folder without files')
  expect((await bench.run(['inspect', 'images', '--record', 'x'])).stderr).toContain('is for one file')
})
