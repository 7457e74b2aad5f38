import * as fc from 'fast-check'
import { parseDiskFormat, formatNames, ImageError, toQemuFormat } from '@disk-image/core'
import { describe, expect, test } from 'vitest'
import { checkEnvelope, checkJob } from './check-job.ts'
import { cloudOf, destinationsOf, jobIdOf, parseRbdName } from './identity.ts'
import type { FetchJob, FleetJob } from './job.ts'

const job: FetchJob = {
  type: 'fetch',
  imageId: 'b0a1c2d3-e4f5-4678-9abc-def012345678',
  volume: '/dev/vg/volume',
}

test('a whole job is taken as it is, and can be changed no more', () => {
  const whole: FleetJob = {
    ...job,
    backend: 'ssd',
    cloud: 'production',
    hash: { algorithm: 'sha512', value: 'ab'.repeat(64) },
    volumeFormat: 'qcow2',
    volumeSizeGiB: 1.5,
    connections: 4,
    preferStores: ['fast', 'slow'],
    verify: 'strict',
  }
  expect(checkJob(whole)).toEqual(whole)
  expect(Object.isFrozen(checkJob(whole))).toBe(true)
})

test.each([
  ['no job', 'A job must be an object'],
  [{ ...job, type: 'format' }, 'There is no job of type "format"'],
  [{ ...job, type: '__proto__' }, 'There is no job of type'],
  [{ ...job, authToken: 'secret' }, 'has no field "authToken"'],
  [JSON.parse('{"type":"inspect","imageId":"a","__proto__":{"b":1}}'), 'has no field "__proto__"'],
  [{ ...job, imageId: '../../etc/passwd' }, 'The field imageId'],
  [{ ...job, imageId: undefined }, 'The field imageId'],
  [{ ...job, backend: 'a:b' }, 'The field backend'],
  [{ ...job, cloud: '' }, 'The field cloud'],
  [{ ...job, connections: 0.5 }, 'The field connections'],
  [{ ...job, preferStores: [] }, 'The field preferStores'],
  [{ ...job, preferStores: ['a', '../b'] }, 'The field preferStores'],
  [{ ...job, volumeSizeGiB: -1 }, 'The field volumeSizeGiB'],
  [{ ...job, volumeFormat: '-O' }, 'The field volumeFormat'],
  [{ ...job, source: 'https://host/disk' }, 'has an imageId or a source, not both'],
  [{ ...job, sourceFormat: 'raw' }, 'goes with a source'],
  [{ ...job, decrypt: true }, 'needs the name of a passphrase'],
  [{ ...job, passphrase: '/etc/shadow' }, 'The field passphrase'],
  [{ ...job, disk: 'a\nb' }, 'The field disk'],
  [{ ...job, volumeFormat: 'frob' }, 'that can be written: raw, iso'],
  [{ ...job, volumeFormat: 'dmg' }, 'that can be written: raw, iso'],
  [{ ...job, hash: { algorithm: 'sha512', value: 'AB' } }, 'The field hash'],
  [{ type: 'coalesce', chain: [] }, 'The field chain'],
  [{ type: 'coalesce', chain: ['/a', 'rbd:pool/b'] }, 'The field chain'],
  [
    { type: 'convert', source: 'rbd:p/i', sourceFormat: 'raw', volume: '/v', volumeFormat: 'raw' },
    'The field source',
  ],
])('%j is refused', (value, words) => {
  expect(() => checkJob(value)).toThrow(words)
})

test('every name of a format is taken, and names of one format ask for the same work', () => {
  for (const name of formatNames('write')) {
    const named = checkJob({ ...job, volumeFormat: name })
    const same = parseDiskFormat(toQemuFormat(name), 'write')
    expect(jobIdOf(named)).toBe(jobIdOf({ ...job, volumeFormat: same }))
  }
  for (const sourceFormat of formatNames('read')) {
    const convert = {
      type: 'convert',
      source: '/s',
      sourceFormat,
      volume: '/v',
      volumeFormat: 'vhd',
    } as const
    expect(checkJob(convert)).toEqual(convert)
  }
})

describe('hostile names of volumes', () => {
  test.each([
    'volume',
    './volume',
    '/srv/volumes/../../etc/shadow',
    '/srv//volume',
    '/srv/volume/',
    '/srv/volume\n',
    '/srv/\0volume',
    'nbd:unix:/run/socket',
    'json:{"driver":"file"}',
    'rbd:pool',
    'rbd:pool/',
    'rbd:/image',
    'rbd:pool/image:conf=/etc/ceph/other.conf',
    'rbd:pool/image:id=admin:key=secret',
    'rbd:pool/image@snapshot',
    String.raw`rbd:pool/image\:x`,
    'rbd:pool/namespace/image',
    'rbd:-pool/image',
    'rbd:pool/--image',
    'rbd:pool/im age',
    'rbd:pool/image.partial',
    'rbd:pool/image.PARTIAL',
    '/srv/volumes/volume.partial',
    '/srv/volumes/volume.disk-image-0a1b2c-4711-1xyz-0123456789abcdef',
  ])('%j', (volume) => {
    expect(() => checkJob({ ...job, volume })).toThrow('The field volume')
  })

  test('what is taken of Ceph is two plain words', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const name = parseRbdName(`rbd:${text}`)
        return name === undefined || /^[\w.]([\w.-])*\/[\w.]([\w.-])*$/.test(`${name.pool}/${name.image}`)
      }),
    )
  })
})

test('whatever lies in the queue, it is taken or refused', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      try {
        checkEnvelope(value)
        return true
      } catch (error) {
        return ImageError.is(error)
      }
    }),
  )
  const envelope = { version: 1, submission: '3b241101-e2bb-4255-8caf-4136c566a962', job }
  expect(checkEnvelope(envelope)).toEqual(envelope)
  expect(() => checkEnvelope({ ...envelope, more: 1 })).toThrow('no job of this version')
})

test.each([
  '/srv/disk.raw',
  './disk.raw',
  '-',
  'file:///etc/shadow',
  'image:',
  'ftp://host/disk',
  'https://user:secret@host/disk',
  'https://user@host/disk',
  'https:///disk',
  'https://host/a b',
  'https://host/disk?X-Amz-Signature=00',
  'https://host/disk?a=b&access_token=00',
  'oci:folder',
  'oci://user:secret@host/repository',
  'image:a\nb',
])('%j is no source', (source) => {
  expect(() => checkJob({ ...job, imageId: undefined, source })).toThrow('The field source')
})

test.each([
  'https://host/disk.qcow2',
  'https://host:8443/disk?version=3',
  's3://bucket/folder/disk.raw',
  'oci://host/repository@sha256:00ff',
  'image:ubuntu 24.04',
])('%s is a source', (source) => {
  const whole: FetchJob = {
    type: 'fetch',
    source,
    volume: '/dev/vg/volume',
    sourceFormat: 'raw',
    disk: 'Hard disk 1',
    decrypt: true,
    passphrase: 'tenant-7',
  }
  expect(checkJob(whole)).toEqual(whole)
  expect(jobIdOf(whole)).not.toBe(jobIdOf({ ...whole, source: `${source}0` }))
  expect(cloudOf(whole)).toBe(source.startsWith('image:') ? 'default' : undefined)
})

test('the same work has the same id, and its manner does not count', () => {
  const id = jobIdOf(job)
  expect(id).toMatch(/^default\.fetch-[0-9a-f]{32}$/)
  const same: FetchJob = {
    volume: job.volume,
    imageId: job.imageId,
    type: 'fetch',
    cloud: 'default',
    connections: 8,
  }
  expect(jobIdOf(same)).toBe(id)
  const others: FetchJob[] = [
    { ...job, volume: '/dev/vg/other' },
    { ...job, volumeFormat: 'qcow2' },
    { ...job, cloud: 'other' },
    { ...job, backend: 'other' },
    { ...job, hash: { algorithm: 'sha512', value: '00'.repeat(64) } },
  ]
  expect(new Set([id, ...others.map(jobIdOf)]).size).toBe(6)
})

test('jobs with one destination have a name in common', () => {
  const convert: FleetJob = {
    type: 'convert',
    source: '/a',
    sourceFormat: 'raw',
    volume: '/dev/vg/volume',
    volumeFormat: 'raw',
  }
  expect(destinationsOf(convert)).toEqual(destinationsOf(job))
  expect(destinationsOf({ ...job, backend: 'other' })).not.toEqual(destinationsOf(job))
  const rbd: FleetJob = { ...job, volume: 'rbd:pool/image' }
  expect(destinationsOf({ ...rbd, backend: 'other' })).toEqual(destinationsOf(rbd))
  expect(destinationsOf({ type: 'coalesce', chain: ['/b', '/a', '/b'] })).toEqual([
    'default:/a',
    'default:/b',
  ])
})
