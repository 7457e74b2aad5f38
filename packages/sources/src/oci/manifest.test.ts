import { expect, test } from 'vitest'
import { chooseDisk, choosePlatform, type OciIndex, type OciManifest, parseManifest } from './manifest.ts'

const digest = (seed: string): string => `sha256:${seed.padEnd(64, '0')}`
const bytes = (value: unknown): Uint8Array =>
  value instanceof Uint8Array ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const imageType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const imageConfig = 'application/vnd.oci.image.config.v1+json'
const layer = (mediaType: string, seed = 'a'): object => ({ mediaType, digest: digest(seed), size: 1 })
const image = (config: string, ...layers: object[]): object => ({
  schemaVersion: 2,
  config: layer(config, 'c'),
  layers,
})
const manifest = (config: string, ...layers: object[]): OciManifest =>
  parseManifest('i', bytes(image(config, ...layers)), imageType) as OciManifest
const index = (...platforms: (string | undefined)[]): OciIndex =>
  parseManifest(
    'i',
    bytes({
      mediaType: indexType,
      manifests: platforms.map((platform, at) => {
        const [os, architecture, variant] = platform?.split('/') ?? []
        return {
          ...layer(imageType, String(at)),
          ...(platform && { platform: { os, architecture, variant } }),
        }
      }),
    }),
    indexType,
  ) as OciIndex

const tar = 'application/vnd.oci.image.layer.v1.tar'

test.each([
  [imageConfig, `${tar}+gzip`, 'containerdisk', undefined, 'containerdisk'],
  [imageConfig, `${tar}+zstd`, 'containerdisk', undefined, 'containerdisk'],
  [imageConfig, tar, 'containerdisk', undefined, 'containerdisk'],
  [
    'application/vnd.docker.container.image.v1+json',
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
    'containerdisk',
    undefined,
    'containerdisk',
  ],
  ['application/vnd.oci.empty.v1+json', 'application/octet-stream', 'artifact', undefined, undefined],
  ['application/vnd.unknown.config.v1+json', tar, 'artifact', undefined, undefined],
  ['application/vnd.oci.empty.v1+json', 'application/vnd.kubevirt.disk.qcow2', 'kubevirt', 'qcow2', 'bare'],
  [imageConfig, 'application/vnd.kubevirt.disk.raw+gzip', 'kubevirt', 'raw', 'compressed'],
  [imageConfig, 'application/vnd.kubevirt.disk.raw+zstd', 'kubevirt', 'raw', 'compressed'],
])('a config %s with a layer %s is a %s', (config, type, kind, diskFormat, containerFormat) => {
  expect(chooseDisk('i', manifest(config, layer(type)))).toMatchObject({ kind, diskFormat, containerFormat })
})

test('one layer is taken, or the one that is named', () => {
  const two = manifest(imageConfig, layer(tar, 'a'), layer(`${tar}+gzip`, 'b'))
  expect(() => chooseDisk('i', two)).toThrow(
    expect.objectContaining({ rule: 'oci-layers', found: expect.stringContaining(digest('b')) as string }),
  )
  expect(chooseDisk('i', two, digest('b')).blob.digest).toBe(digest('b'))
  expect(() => chooseDisk('i', two, digest('d'))).toThrow(expect.objectContaining({ rule: 'oci-layers' }))
  const none = manifest('application/vnd.oci.empty.v1+json', layer('application/vnd.oci.empty.v1+json'))
  expect(() => chooseDisk('i', none)).toThrow(expect.objectContaining({ rule: 'oci-layers' }))
  const foreign = manifest(imageConfig, layer('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'))
  expect(() => chooseDisk('i', foreign)).toThrow(expect.objectContaining({ rule: 'oci-layers' }))
})

test.each([
  [['linux/arm64', 'linux/amd64'], 'linux/amd64', '1'],
  [['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64', '1'],
  [['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7', '1'],
  [['windows/amd64'], 'linux/amd64', '0'],
  [[undefined], 'linux/amd64', '0'],
])('of %j for %s', (platforms, platform, seed) => {
  expect(choosePlatform('i', index(...platforms), platform).digest).toBe(digest(seed))
})

test.each([
  [['linux/arm64', 'linux/riscv64']],
  [['linux/amd64', 'linux/amd64']],
  [['linux/amd640', undefined]],
  [[]],
])('none of %j for linux/amd64', (platforms) => {
  expect(() => choosePlatform('i', index(...platforms), 'linux/amd64')).toThrow(
    expect.objectContaining({ rule: 'oci-platform' }),
  )
})

test("what a builder says about the images isn't one", () => {
  const attestation = {
    ...layer(imageType, 'f'),
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  }
  const both = parseManifest('i', bytes({ manifests: [layer(imageType, 'a'), attestation] })) as OciIndex
  expect(choosePlatform('i', both, 'linux/amd64').digest).toBe(digest('a'))
})

test.each<[string, unknown, string?]>([
  ['no JSON', '{'],
  ['no object', []],
  ['nothing', {}],
  ['both at once', { ...image(imageConfig), manifests: [] }],
  ['another media type', image(imageConfig), 'text/html'],
  ['an index that is called an image', { manifests: [] }, imageType],
  ['two names', { ...image(imageConfig), mediaType: indexType }, imageType],
  ['a size of half a byte', image(imageConfig, { ...layer(tar), size: 0.5 })],
  ['a size below zero', image(imageConfig, { ...layer(tar), size: -1 })],
  ['an endless size', image(imageConfig, { ...layer(tar), size: 1e300 })],
  ['a size in words', image(imageConfig, { ...layer(tar), size: '1' })],
  ['a weak digest', image(imageConfig, { ...layer(tar), digest: `md5:${'0'.repeat(32)}` })],
  [
    'a digest that is a path',
    image(imageConfig, { ...layer(tar), digest: `sha256:../../${'0'.repeat(58)}` }),
  ],
  ['too many layers', image(imageConfig, ...Array.from({ length: 2000 }, () => layer(tar)))],
  ['too deep', `{"layers":${'['.repeat(5000)}${']'.repeat(5000)}}`],
  ['too long', ' '.repeat(4 * 1024 ** 2 + 1)],
  ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
])('refused: %s', (_what, document, type) => {
  expect(() => parseManifest('i', bytes(document), type)).toThrow(
    expect.objectContaining({ rule: 'oci-manifest' }),
  )
})
