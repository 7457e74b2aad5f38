import { truncate, readFile, stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openWorkbench } from '../helpers/run-command.ts'

/** Without the --force that the tests have. */
const careful = { environment: { DISK_IMAGE_FORCE: '' } }

test('a disk and its child are made, shown, grown and merged', async () => {
  await using bench = await openWorkbench()
  expect(await bench.json(['vhd', 'create', 'base.vhd', '4'])).toMatchObject({
    exitCode: 0,
    type: 'dynamic',
    currentSizeBytes: 4194304,
  })
  expect(await bench.json(['vhd', 'create', 'leaf.vhd', '--parent', 'base.vhd'])).toMatchObject({
    exitCode: 0,
    type: 'differencing',
  })
  expect(await bench.json(['vhd', 'info', 'leaf.vhd'])).toMatchObject({ parent: { name: 'base.vhd' } })
  expect((await bench.run(['vhd', 'info', 'leaf.vhd'])).stdout).toMatch(/^ {2}Parent +base\.vhd$/m)
  expect(await bench.json(['vhd', 'check', 'leaf.vhd'])).toMatchObject({ exitCode: 0, ok: true })
  expect(await bench.json(['vhd', 'resize', 'leaf.vhd', '8'])).toMatchObject({ currentSizeBytes: 8388608 })
  expect(await bench.json(['vhd', 'flatten', 'out.raw', 'leaf.vhd', 'base.vhd'])).toMatchObject({
    exitCode: 0,
    format: 'raw',
  })
  expect((await stat(bench.path('out.raw'))).size).toBe(8388608)
  expect(await bench.json(['vhd', 'coalesce', 'leaf.vhd', 'base.vhd'])).toMatchObject({
    exitCode: 0,
    base: bench.path('base.vhd'),
    merged: [bench.path('leaf.vhd')],
  })
  expect(await bench.json(['vhd', 'info', 'base.vhd'])).toMatchObject({ currentSizeBytes: 8388608 })
})

test('a chain can be laid out in every way, but never over a file that is there', async () => {
  await using bench = await openWorkbench()
  await bench.run(['vhd', 'create', 'base.vhd', '4'])
  for (const to of ['raw', 'fixed', 'dynamic']) {
    expect(await bench.json(['vhd', 'flatten', `out.${to}`, 'base.vhd', '--to', to])).toMatchObject({
      format: to,
    })
  }
  expect(await bench.json(['vhd', 'info', 'out.fixed'])).toMatchObject({ type: 'fixed' })
  const before = await readFile(bench.path('out.fixed'))
  expect((await bench.run(['vhd', 'flatten', 'out.fixed', 'base.vhd'], careful)).exitCode).toBe(2)
  expect((await readFile(bench.path('out.fixed'))).equals(before)).toBe(true)
})

test('a torn end is found and repaired', async () => {
  await using bench = await openWorkbench()
  await bench.run(['vhd', 'create', 'disk.vhd', '4'])
  const { size } = await stat(bench.path('disk.vhd'))
  await truncate(bench.path('disk.vhd'), size - 100)
  const broken = await bench.run(['vhd', 'check', 'disk.vhd'])
  expect(broken.exitCode).toBe(3)
  expect(broken.stdout).toContain('error footer-end:')
  const plan = await bench.run(['vhd', 'repair', 'disk.vhd', '--dry-run'])
  expect(plan.stdout).toContain('would: ')
  expect((await bench.run(['vhd', 'check', 'disk.vhd'])).exitCode).toBe(3)
  expect(await bench.json(['vhd', 'repair', 'disk.vhd'])).toMatchObject({
    exitCode: 0,
    repairs: [{ rule: 'footer-end' }],
  })
  expect((await bench.run(['vhd', 'check', 'disk.vhd'])).exitCode).toBe(0)
})

test('a parent is replaced by another', async () => {
  await using bench = await openWorkbench()
  await bench.run(['vhd', 'create', 'one.vhd', '4'])
  await bench.run(['vhd', 'create', 'two.vhd', '4'])
  await bench.run(['vhd', 'create', 'leaf.vhd', '--parent', 'one.vhd'])
  expect((await bench.run(['vhd', 'flatten', 'out', 'leaf.vhd', 'two.vhd'])).exitCode).toBe(3)
  expect((await bench.run(['vhd', 'reparent', 'leaf.vhd', 'two.vhd'])).exitCode).toBe(0)
  expect((await bench.run(['vhd', 'flatten', 'out', 'leaf.vhd', 'two.vhd'])).exitCode).toBe(0)
})

test('what is no VHD, and what can’t be, is refused', async () => {
  await using bench = await openWorkbench()
  await bench.run(['vhd', 'create', 'disk.vhd', '4'])
  expect((await bench.run(['vhd', 'create', 'disk.vhd', '4'], careful)).exitCode).toBe(2)
  expect((await bench.run(['vhd', 'resize', 'disk.vhd', '2'])).exitCode).toBe(3)
  expect((await bench.run(['vhd', 'create', 'other.vhd'])).exitCode).toBe(2)
  expect(
    (await bench.run(['vhd', 'create', 'leaf.vhd', '--parent', 'disk.vhd', '--type', 'fixed'])).exitCode,
  ).toBe(2)
  await truncate(bench.path('disk.vhd'), 100)
  expect((await bench.run(['vhd', 'info', 'disk.vhd'])).exitCode).toBe(3)
  expect((await bench.run(['vhd', 'check', 'missing.vhd'])).exitCode).toBe(1)
})
