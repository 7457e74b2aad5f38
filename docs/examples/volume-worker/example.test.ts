import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type RunningGlance, startGlance } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { backingFile, qcow2 } from '../images.testing.ts'
import { runExample } from '../run.testing.ts'

let directory: string
let glance: RunningGlance

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  glance = await startGlance()
})

afterAll(async () => {
  await glance?.stop()
  await rm(directory, { recursive: true, force: true })
})

async function add(bytes: Uint8Array): Promise<string> {
  const created = await fetch(`${glance.url}/v2/images`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'x', disk_format: 'qcow2', container_format: 'bare' }),
  })
  const { id } = (await created.json()) as { id: string }
  await fetch(`${glance.url}/v2/images/${id}/file`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: new Uint8Array(bytes),
  })
  return id
}

test('jobs come in and volumes come out; a refusal is told from a failure, and stops nobody', async () => {
  const volume = path.join(directory, 'volume')
  const refused = path.join(directory, 'refused')
  const good = await add(await qcow2(directory))
  const bad = await add(backingFile('/etc/passwd'))
  const jobs = [
    { imageId: bad, volume: refused, volumeSizeGiB: 1 },
    { imageId: '00000000-0000-4000-8000-000000000000', volume, volumeSizeGiB: 1 },
    { imageId: good, volume, volumeSizeGiB: 1 },
  ]
  const input = jobs.map((job) => JSON.stringify(job)).join('\n')
  const { stdout, stderr, exitCode } = await runExample('volume-worker', [glance.url], { input })
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  expect(events).toMatchObject([
    { event: 'error', imageId: bad, code: 'IMAGE_UNACCEPTABLE', again: false },
    { event: 'error', code: 'IMAGE_NOT_FOUND', again: false },
    { event: 'available', imageId: good, volume, format: 'qcow2' },
  ])
  expect((await stat(volume)).size, 'as large as the job says').toBe(1024 ** 3)
  await expect(stat(refused)).rejects.toThrow('ENOENT')
})
