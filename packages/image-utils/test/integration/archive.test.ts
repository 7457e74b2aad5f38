import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, open, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { requireTool } from '@disk-image/testing'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createImageUtils, fileSource, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

requireTool('qemu-img', 'qemu-utils')
requireTool('xz', 'xz-utils')

const MiB = 1024 * 1024
let shared: Workspace
const hashes: string[] = []

const item = (type: number, id: number, more: string): string =>
  `<Item><rasd:ResourceType>${type}</rasd:ResourceType><rasd:InstanceID>${id}</rasd:InstanceID>${more}</Item>`
const drive = (index: number): string =>
  item(
    17,
    10 + index,
    `<rasd:Parent>3</rasd:Parent><rasd:AddressOnParent>${index}</rasd:AddressOnParent><rasd:ElementName>Hard disk ${index + 1}</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk${index}</rasd:HostResource>`,
  )
/** The second disk is listed first. */
const descriptor = `<Envelope xmlns:ovf="o" xmlns:rasd="r"><References>
  <File ovf:id="f1" ovf:href="m-disk1.vmdk"/><File ovf:id="f0" ovf:href="m-disk0.vmdk"/></References><DiskSection>
  <Disk ovf:diskId="vmdisk1" ovf:fileRef="f1" ovf:capacity="12"/><Disk ovf:diskId="vmdisk0" ovf:fileRef="f0" ovf:capacity="40"/>
  </DiskSection><VirtualSystem ovf:id="m"><VirtualHardwareSection>
  ${item(6, 3, '<rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>')}${drive(0)}${drive(1)}
  </VirtualHardwareSection></VirtualSystem></Envelope>`

beforeAll(async () => {
  shared = await createWorkspace()
  for (const [index, bytes] of [40 * MiB, 12 * MiB].entries()) {
    const raw = shared.file(`disk${index}.raw`)
    await makeRawDisk(raw, bytes)
    hashes.push(await sha256(raw))
    const options = ['-o', 'subformat=streamOptimized']
    const vmdk = shared.file(`m-disk${index}.vmdk`)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', ...options, raw, vmdk)
  }
  await writeFile(shared.file('m.ovf'), descriptor)
})
afterAll(() => shared[Symbol.asyncDispose]())

let work: Workspace
let imageUtils: ImageUtils
beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function addOva(...members: readonly string[]): Promise<string> {
  const ova = work.file('m.ova')
  await tool('tar', '--format=ustar', '-C', path.dirname(shared.file('m.ovf')), '-cf', ova, ...members)
  return work.add(ova, { disk_format: 'vmdk', container_format: 'ova' })
}

async function writeManifest(disk: string, digest?: string): Promise<void> {
  const found = createHash('sha256')
    .update(await readFile(shared.file(disk)))
    .digest('hex')
  await writeFile(shared.file('m.mf'), `SHA256(${disk})= ${digest ?? found}\n`)
}

test('each disk goes onto its volume in one pass, in the order of the machine', async () => {
  await writeManifest('m-disk1.vmdk')
  const imageId = await addOva('m.ovf', 'm.mf', 'm-disk1.vmdk', 'm-disk0.vmdk')
  const volumes = [{ volume: work.file('a') }, { volume: work.file('b') }]
  const reports = await imageUtils.archiveToVolumes({ imageId, volumes })
  expect(await Promise.all(volumes.map(({ volume }) => sha256(volume)))).toEqual(hashes)
  expect(reports.map(({ unwrapped }) => unwrapped?.disk)).toEqual(['m-disk0.vmdk', 'm-disk1.vmdk'])
  expect(reports[0]).toMatchObject({
    format: 'vmdk',
    virtualSizeBytes: 40 * MiB,
    unwrapped: { opened: ['tar'], hasManifest: true, machine: { disks: [{ bus: 'scsi' }, { bus: 'scsi' }] } },
  })
})

test.each(['m-disk1.vmdk', 'vmdisk1', 'Hard disk 2'])('one disk by its name: %s', async (disk) => {
  const imageId = await addOva('m.ovf', 'm-disk0.vmdk', 'm-disk1.vmdk')
  const volume = work.file('one')
  await imageUtils.imageToVolume({ imageId, volume, disk })
  expect(await sha256(volume)).toBe(hashes[1])
})

test('several disks for one volume are refused by their names, and so is a name that no disk has', async () => {
  const imageId = await addOva('m.ovf', 'm-disk0.vmdk', 'm-disk1.vmdk')
  const volume = work.file('one')
  await expect(imageUtils.imageToVolume({ imageId, volume })).rejects.toMatchObject({
    rule: 'archive-disks',
    found: expect.stringContaining('m-disk0.vmdk (Hard disk 1)'),
  })
  await expect(imageUtils.imageToVolume({ imageId, volume, disk: 'other' })).rejects.toMatchObject({
    rule: 'archive-disks',
  })
  const plan = await imageUtils.planImageToVolume({ imageId, volume })
  expect(plan.refusals.map(({ rule }) => rule)).toContain('archive-disks')
  expect(existsSync(volume)).toBe(false)
})

test('the plan of several volumes says which disk each takes, and a wrong name is refused before anything', async () => {
  const imageId = await addOva('m.ovf', 'm-disk1.vmdk', 'm-disk0.vmdk')
  const volumes = [{ volume: work.file('a') }, { volume: work.file('b') }]
  const plans = await imageUtils.planArchiveToVolumes({ imageId, volumes })
  expect(plans.map(({ disk, volume, refusals }) => [disk, volume, refusals])).toEqual([
    ['m-disk0.vmdk', work.file('a'), []],
    ['m-disk1.vmdk', work.file('b'), []],
  ])
  expect(plans.map(({ volumeBytes }) => volumeBytes)).toEqual([40, 12])
  const wrong = volumes.map((volume, index) => ({ ...volume, disk: ['m-disk0.vmdk', 'other'][index] }))
  const refusal = {
    rule: 'archive-disks',
    reason: expect.stringContaining('no disk "other"'),
    found: 'm-disk0.vmdk (Hard disk 1), m-disk1.vmdk (Hard disk 2)',
  }
  const refused = await imageUtils.planArchiveToVolumes({ imageId, volumes: wrong })
  expect(refused.map(({ refusals }) => refusals[0])).toEqual([
    expect.objectContaining(refusal),
    expect.objectContaining(refusal),
  ])
  const { reason: _reason, ...error } = refusal
  await expect(imageUtils.archiveToVolumes({ imageId, volumes: wrong })).rejects.toMatchObject(error)
  const one = { imageId, volumes: volumes.slice(0, 1) }
  expect((await imageUtils.planArchiveToVolumes(one))[0]?.refusals[0]).toMatchObject({
    rule: 'archive-disks',
  })
  expect(volumes.map(({ volume }) => existsSync(volume))).toEqual([false, false])
})

test('a manifest that does not match leaves nothing, also where it comes last', async () => {
  await writeManifest('m-disk0.vmdk', '0'.repeat(64))
  for (const order of [
    ['m.ovf', 'm.mf', 'm-disk0.vmdk', 'm-disk1.vmdk'],
    ['m.ovf', 'm-disk0.vmdk', 'm-disk1.vmdk', 'm.mf'],
  ]) {
    const imageId = await addOva(...order)
    const volumes = [{ volume: work.file('a') }, { volume: work.file('b') }]
    await expect(imageUtils.archiveToVolumes({ imageId, volumes })).rejects.toMatchObject({
      rule: 'ova-manifest',
    })
    expect(volumes.map(({ volume }) => existsSync(volume))).toEqual([false, false])
  }
})

test('a local file is opened by what it is said to be, and stays open', async () => {
  const packed = work.file('packed')
  await copyFile(shared.file('disk1.raw'), packed)
  await tool('xz', '-T1', '-1', packed)
  await using handle = await open(`${packed}.xz`)
  const stored = await fileSource('packed.xz', handle)
  const volume = work.file('volume')
  const source = { stored, diskFormat: 'raw', containerFormat: 'compressed' }
  const request = { imageId: 'packed.xz', source, volume }
  expect((await imageUtils.planImageToVolume(request)).refusals).toEqual([])
  const report = await imageUtils.imageToVolume(request)
  expect(await sha256(volume)).toBe(hashes[1])
  expect(report).toMatchObject({ warnings: [{ rule: 'unverified' }], unwrapped: { opened: ['xz'] } })
  expect((await handle.stat()).size).toBe(report.bytesDownloaded)
  const wrong = { ...request, source: { ...source, diskFormat: 'qcow2' }, volume: work.file('other') }
  await expect(imageUtils.imageToVolume(wrong)).rejects.toThrow('claimed')
})

test('two disks onto one volume are refused, whatever it is called', async () => {
  const imageId = await addOva('m.ovf', 'm-disk0.vmdk', 'm-disk1.vmdk')
  await writeFile(work.file('a'), 'kept')
  await symlink(work.file('a'), work.file('link'))
  for (const names of [
    ['a', 'a'],
    ['a', 'link'],
    ['new', 'new'],
  ]) {
    const volumes = names.map((name) => ({ volume: work.file(name) }))
    await expect(imageUtils.archiveToVolumes({ imageId, volumes })).rejects.toThrow('are the same')
  }
  expect(await readFile(work.file('a'), 'utf8')).toBe('kept')
})

test('what is no archive has one disk', async () => {
  const imageId = await work.add(shared.file('disk0.raw'), { disk_format: 'raw', container_format: 'bare' })
  const volumes = [{ volume: work.file('a') }, { volume: work.file('b') }]
  await expect(imageUtils.archiveToVolumes({ imageId, volumes })).rejects.toThrow('no archive')
})
