import { createHash } from 'node:crypto'
import { appendFile, link, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { MiB, type Target } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, InvalidError, machineOfProperties } from '../../src/index.ts'
import { createWorkspace, makeBackedQcow2, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

requireTool('qemu-img', 'qemu-utils')

let work: Workspace
let imageUtils: ImageUtils
let raw: string
let qcow2: string
let destination: string
const machine = machineOfProperties('two disks', { hw_firmware_type: 'uefi', hw_disk_bus: 'sata' })

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('system.raw')
  qcow2 = work.file('data.qcow2')
  destination = work.file('machine.ova')
  await makeRawDisk(raw, 5 * MiB)
  await makeRawDisk(work.file('data.raw'), 12 * MiB)
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', work.file('data.raw'), qcow2)
  await mkdir(work.file('empty-path'))
  const runner = createProcessRunner({ environment: { PATH: work.file('empty-path') } })
  imageUtils = createImageUtils({ runner }, { imageConversionDir: work.conversionDir })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

const both = () => [
  { volume: raw, volumeFormat: 'raw' as const, name: 'system.vmdk' },
  { volume: qcow2, volumeFormat: 'qcow2' as const },
]

/** Takes everything in order, as a pipe does. */
function collector(): Target & { readonly chunks: Buffer[]; readonly ends: string[] } {
  const chunks: Buffer[] = []
  const ends: string[] = []
  return {
    chunks,
    ends,
    write: (bytes) => Promise.resolve(void chunks.push(Buffer.from(bytes))),
    zero: (_, length) => Promise.resolve(void chunks.push(Buffer.alloc(length))),
    commit: () => Promise.resolve(void ends.push('commit')),
    abandon: () => Promise.resolve(void ends.push('abandon')),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

test('two disks of two formats go into an OVA, and come out of it again', async () => {
  const report = await imageUtils.volumesToArchive({ disks: both(), machine, destination })
  expect(report).toMatchObject({
    destination,
    disks: [
      { volume: raw, name: 'system.vmdk', format: 'raw', virtualSizeBytes: 5 * MiB },
      { volume: qcow2, name: 'disk2.vmdk', format: 'qcow2', virtualSizeBytes: 12 * MiB },
    ],
  })
  const members = ['two-disks.ovf', 'two-disks.mf', 'system.vmdk', 'disk2.vmdk']
  expect((await tool('tar', '-tf', destination)).trim().split('\n')).toEqual(members)
  await mkdir(work.file('out'))
  await tool('tar', '-xf', destination, '-C', work.file('out'))
  const manifest = await tool('tar', '-xOf', destination, 'two-disks.mf')
  for (const name of members.filter((member) => !member.endsWith('.mf'))) {
    expect(manifest).toContain(`SHA256(${name})= ${await sha256(work.file(`out/${name}`))}\n`)
  }
  for (const [name, disk] of [
    ['system.vmdk', raw],
    ['disk2.vmdk', work.file('data.raw')],
  ] as const) {
    await tool('qemu-img', 'compare', '-f', 'raw', '-F', 'vmdk', disk, work.file(`out/${name}`))
  }

  const volumes = [{ volume: work.file('first') }, { volume: work.file('second') }]
  await imageUtils.archiveToVolumes({
    source: destination,
    sourceFormat: 'vmdk',
    volumes,
    verify: 'none',
  })
  expect(await sha256(work.file('first'))).toBe(await sha256(raw))
  expect(await sha256(work.file('second'))).toBe(await sha256(work.file('data.raw')))
  const target = collector()
  const sent = await imageUtils.volumesToArchive({ disks: both(), machine, destination: 'a pipe', target })
  const bytes = Buffer.concat(target.chunks)
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(await sha256(destination))
  expect([sent.bytesWritten, target.ends]).toEqual([bytes.length, ['commit']])
})

test('a disk that changes meanwhile makes no OVA, wherever it goes', async () => {
  for (const file of [raw, qcow2]) {
    for (const target of [undefined, collector()]) {
      let isChanged = false
      const before = await readdir(work.directory)
      const making = imageUtils.volumesToArchive({
        disks: both(),
        machine,
        destination,
        target,
        onProgress: () => {
          if (!isChanged) void appendFile(file, Buffer.alloc(512))
          isChanged = true
        },
      })
      await expect(making).rejects.toMatchObject({ rule: 'source-changed' })
      await expect(making).rejects.toThrow(`${file} was changed`)
      expect(await readdir(work.directory)).toEqual(before)
      expect(target?.ends ?? ['abandon']).toEqual(['abandon'])
    }
  }
})

test('what is no such disk, or not safe, is refused before anything is made', async () => {
  const backed = work.file('backed.qcow2')
  await makeBackedQcow2(backed, '/etc/passwd')
  await tool('tar', '-cf', work.file('archive.tar'), '-C', work.directory, 'system.raw')
  await symlink(raw, work.file('link'))
  await link(raw, work.file('hard-link'))
  const before = await readdir(work.directory)
  const refused = [
    { volume: qcow2, volumeFormat: 'raw' as const },
    { volume: raw, volumeFormat: 'qcow2' as const },
    { volume: backed, volumeFormat: 'qcow2' as const },
    { volume: work.file('archive.tar'), volumeFormat: 'raw' as const },
  ]
  for (const disk of refused) {
    const making = imageUtils.volumesToArchive({ disks: [...both(), disk], machine, destination })
    await expect(making).rejects.toMatchObject({ kind: 'refused' })
    await expect(making).rejects.toThrow(disk.volume)
  }
  for (const wrong of [
    { destination: raw },
    { destination: work.file('link') },
    { destination: work.file('hard-link') },
    { destination: '/dev/no-such-node' },
    { destination: work.file('no/folder.ova') },
    { disks: [] },
    { disks: both().map((disk) => ({ ...disk, name: 'same.vmdk' })) },
    { disks: [{ volume: work.directory, volumeFormat: 'raw' as const }] },
    { machine: { name: '' } },
  ]) {
    const making = imageUtils.volumesToArchive({ disks: both(), machine, destination, ...wrong })
    await expect(making).rejects.toThrow(InvalidError)
  }
  expect(await readdir(work.directory)).toEqual(before)
})

test('an abort leaves nothing behind', async () => {
  const before = await readdir(work.directory)
  const control = new AbortController()
  const making = imageUtils.volumesToArchive({
    disks: both(),
    machine,
    destination,
    signal: control.signal,
    onProgress: () => control.abort(new Error('enough')),
  })
  await expect(making).rejects.toThrow('enough')
  expect(await readdir(work.directory)).toEqual(before)
  await writeFile(destination, 'old')
  await imageUtils.volumesToArchive({ disks: both(), machine, destination })
  expect((await tool('tar', '-tf', destination)).trim().split('\n')).toHaveLength(4)
})
