import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type RunningGlance, type RunningNginx, startGlance, startNginx } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { backingFile, qcow2 } from '../images.testing.ts'
import { runExample } from '../run.testing.ts'

let directory: string
let glance: RunningGlance
let web: RunningNginx

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  await writeFile(path.join(directory, 'local.qcow2'), await qcow2(directory))
  await writeFile(path.join(directory, 'evil.qcow2'), backingFile('/etc/shadow'))
  glance = await startGlance()
  web = await startNginx({ images: [{ file: path.join(directory, 'local.qcow2') }] })
})

afterAll(async () => {
  await web?.stop()
  await glance?.stop()
  await rm(directory, { recursive: true, force: true })
})

test('files and URLs are imported into a real Glance; one that is refused stops nobody', async () => {
  const url = `${web.url}/v2/images/${web.images[0]?.id}/file`
  const list = path.join(directory, 'list')
  const evil = path.join(directory, 'evil.qcow2')
  await writeFile(
    list,
    ['# ours', evil, path.join(directory, 'local.qcow2'), url, `${url}/none`, ''].join('\n'),
  )
  const { stdout, stderr, exitCode } = await runExample('batch-importer', [list, glance.url])
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 1 })
  const lines = stdout.split('\n')
  expect(lines[0]).toContain(`refused  ${evil}  `)
  expect(lines[0]).toContain('backing file')
  expect(lines[1]).toMatch(/^imported {2}.*local\.qcow2 {2}[0-9a-f-]{36} {2}qcow2$/)
  expect(lines[2]).toMatch(/^imported {2}http.*\/file {2}[0-9a-f-]{36} {2}qcow2$/)
  expect(lines[3]).toMatch(/^failed .* answered 404$/)
  const { images } = (await (await fetch(`${glance.url}/v2/images`)).json()) as {
    images: { name: string; disk_format: string; status: string }[]
  }
  const found = images.map((image) => `${image.name} ${image.disk_format} ${image.status}`)
  expect(found.toSorted()).toEqual(['file qcow2 active', 'local qcow2 active'])
})
