import { execFileSync } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { MiB, ProcessExecutionError } from '@disk-image/core'
import { createQemuImg, VolumeBackendError } from '@disk-image/qemu-img'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeDisk } from './disk.ts'
import { createSandboxedRunner } from './sandboxed-runner.ts'

const qemuIo = requireTool('qemu-io')
const runner = createSandboxedRunner()
const qemuImg = createQemuImg({ runner })
const format = 'qcow2'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp('/var/tmp/subcommands-')
})
afterAll(() => rm(folder, { recursive: true }))

function write(image: string, pattern: number, range: string): void {
  execFileSync(qemuIo, ['-f', format, '-c', `write -P ${pattern} ${range}`, image])
}

test('the version is asked once', async () => {
  const version = await qemuImg.version()
  expect(version?.length).toBeGreaterThanOrEqual(2)
  const calls = runner.calls.length
  await qemuImg.requireVersion('2.1')
  await expect(qemuImg.requireVersion('999.0')).rejects.toThrow(VolumeBackendError)
  expect(runner.calls).toHaveLength(calls)
})

test('create, resize, shrink', async () => {
  const image = path.join(folder, 'resized')
  await qemuImg.create(image, 4 * MiB, { format })
  await qemuImg.resize(image, 8 * MiB, { format })
  expect((await qemuImg.info(image, { format })).virtualSize).toBe(8 * MiB)
  await expect(qemuImg.resize(image, MiB, { format })).rejects.toThrow(ProcessExecutionError)
  await qemuImg.resize(image, MiB, { format, shrink: true })
  expect((await qemuImg.info(image, { format })).virtualSize).toBe(MiB)
})

test('check finds nothing, leaks and corruption, and mends', async () => {
  const image = path.join(folder, 'checked')
  await qemuImg.create(image, 4 * MiB, { format })
  write(image, 1, '0 1M')
  expect(await qemuImg.check(image, { format })).toMatchObject({
    corruptions: 0,
    leaks: 0,
    allocatedClusters: 16,
  })
  // The reference count of a cluster behind the data: used by nobody.
  const handle = await open(image, 'r+')
  const header = Buffer.alloc(104)
  await handle.read(header, 0, 104, 0)
  const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, Number(header.readBigUInt64BE(48)))
  const refcountBlock = Number(buffer.readBigUInt64BE(0))
  await handle.truncate(64 * 65_536)
  await handle.write(Buffer.from([0, 1]), 0, 2, refcountBlock + 2 * 40)
  await handle.close()
  expect((await qemuImg.check(image, { format })).leaks).toBeGreaterThan(0)
  expect((await qemuImg.check(image, { format, repair: 'leaks' })).leaksFixed).toBeGreaterThan(0)
  expect((await qemuImg.check(image, { format })).leaks).toBe(0)
  // A data cluster that is counted as free.
  const damaged = await open(image, 'r+')
  await damaged.write(Buffer.from([0, 0]), 0, 2, refcountBlock + 2 * 6)
  await damaged.close()
  expect((await qemuImg.check(image, { format })).corruptions).toBeGreaterThan(0)
})

test('check of what is no image is an error', async () => {
  const file = path.join(folder, 'random')
  await makeDisk(file, 4 * MiB)
  await expect(qemuImg.check(file, { format })).rejects.toThrow(ProcessExecutionError)
})

test('compare names the first difference', async () => {
  const [left, right] = [path.join(folder, 'left'), path.join(folder, 'right')]
  for (const image of [left, right]) await qemuImg.create(image, 4 * MiB, { format })
  const seen: number[] = []
  const onProgress = ({ completed }: { completed: number }): void => void seen.push(completed)
  expect(await qemuImg.compare({ path: left, format }, { path: right, format }, { onProgress })).toEqual({
    identical: true,
  })
  expect(seen.at(-1)).toBe(100)
  write(right, 5, '2M 64k')
  expect(await qemuImg.compare({ path: left, format }, { path: right, format })).toMatchObject({
    identical: false,
    offset: 2 * MiB,
  })
  await qemuImg.resize(left, 5 * MiB, { format })
  write(right, 0, '2M 64k')
  expect(await qemuImg.compare({ path: left, format }, { path: right, format })).toEqual({ identical: true })
  const strict = await qemuImg.compare({ path: left, format }, { path: right, format }, { strict: true })
  expect(strict.identical).toBe(false)
  const missing = qemuImg.compare({ path: left, format }, { path: path.join(folder, 'none'), format })
  await expect(missing).rejects.toThrow(ProcessExecutionError)
})

test('map shows where data is', async () => {
  const image = path.join(folder, 'mapped')
  await qemuImg.create(image, 4 * MiB, { format })
  write(image, 9, '1M 1M')
  const extents = await qemuImg.map(image, { format })
  expect(extents.map(({ start, length, data }) => [start, length, data])).toEqual([
    [0, MiB, false],
    [MiB, MiB, true],
    [2 * MiB, 2 * MiB, false],
  ])
  const part = await qemuImg.map(image, { format, startOffset: MiB, maxLength: 65_536 })
  expect(part).toMatchObject([{ start: MiB, length: 65_536, data: true }])
})

test('measure tells what a conversion takes', async () => {
  const source = path.join(folder, 'measured')
  await makeDisk(source, 32 * MiB)
  const fromImage = await qemuImg.measure({ path: source, format: 'raw' }, { destination: { format } })
  expect(fromImage.requiredBytes).toBeGreaterThan(3 * MiB)
  expect(fromImage.requiredBytes).toBeLessThan(5 * MiB)
  expect(fromImage.fullyAllocatedBytes).toBeGreaterThan(32 * MiB)
  const fromSize = await qemuImg.measure(
    { sizeBytes: 1024 ** 4 },
    { destination: { format, clusterSizeBytes: 2 * MiB } },
  )
  expect(fromSize.fullyAllocatedBytes).toBeGreaterThan(1024 ** 4)
})

test('snapshots are made, listed, gone back to, removed', async () => {
  const image = path.join(folder, 'snapshots,a=b')
  await qemuImg.create(image, 4 * MiB, { format })
  write(image, 1, '0 1M')
  await qemuImg.createSnapshot(image, 'first', { format })
  write(image, 2, '0 1M')
  await qemuImg.createSnapshot(image, '-d', { format })
  expect((await qemuImg.snapshots(image, { format })).map(({ id, name }) => [id, name])).toEqual([
    ['1', 'first'],
    ['2', '-d'],
  ])
  await qemuImg.applySnapshot(image, 'first', { format })
  execFileSync(qemuIo, ['-f', format, '-c', 'read -P 1 0 1M', image])
  await qemuImg.deleteSnapshot(image, '-d', { format })
  expect((await qemuImg.snapshots(image, { format })).map(({ name }) => name)).toEqual(['first'])
})
