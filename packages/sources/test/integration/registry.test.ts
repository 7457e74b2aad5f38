import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { requireTool, type RunningRegistry, startRegistry } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ociSource, pushImage, registryCredentials } from '../../src/index.ts'
import { bytesSource, digest, download } from '../helpers/bytes.ts'

const run = promisify(execFile)
const skopeo = requireTool('skopeo')
let folder: string
/** Zeros, which compress, and bytes that don't: more than a portion, and than a member of the compressed data. */
const disk = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(9_000_000), randomBytes(70_001)])

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'oci-registry-'))
  await writeFile(path.join(folder, 'disk.img'), disk)
})
afterAll(() => rm(folder, { recursive: true }))

describe.each(['basic', 'token'] as const)('a registry with authentication: %s', (auth) => {
  let registry: RunningRegistry
  let options: Parameters<typeof ociSource>[1] & object
  const copy = (...words: string[]): Promise<unknown> =>
    run(skopeo, ['copy', '--quiet', '--insecure-policy', ...words])
  const pushTo = (): string[] => ['--dest-tls-verify=false', '--dest-authfile', registry.authFile]
  const pullFrom = (): string[] => ['--src-tls-verify=false', '--src-authfile', registry.authFile]

  beforeAll(async () => {
    registry = await startRegistry({ auth })
    options = {
      allow: { privateAddresses: true },
      plainHttp: [registry.host, registry.tokenHost ?? ''],
      credentials: registryCredentials({ environment: {}, file: registry.authFile }),
    }
  })
  afterAll(() => registry[Symbol.asyncDispose]())

  test.each(['containerdisk', 'artifact', 'kubevirt'] as const)(
    'what is pushed as %s, skopeo reads and copies, and is read again',
    async (as) => {
      const name = `${registry.host}/disks/${as}`
      const pushed = await pushImage(bytesSource(disk), `oci://${name}:1`, {
        ...options,
        as,
        diskFormat: 'raw',
        portionBytes: 4_000_000,
        annotations: { 'org.opencontainers.image.description': 'a disk' },
      })
      expect(pushed).toMatchObject({ reference: `oci://${name}:1@${pushed.digest}`, resumes: 0 })
      const target = path.join(folder, `${auth}-${as}`)
      await copy(...pullFrom(), `docker://${name}:1`, `dir:${target}`)
      const manifest = await readFile(path.join(target, 'manifest.json'))
      expect(digest(manifest)).toBe(pushed.digest)
      const blob = await readFile(path.join(target, pushed.blob.digest.replace('sha256:', '')))
      expect(digest(blob)).toBe(pushed.blob.digest)
      expect(blob.length).toBe(pushed.blob.size)

      for (const reference of [`oci://${name}:1`, `oci://${name}@${pushed.digest}`]) {
        const source = await ociSource(reference, options)
        expect(source).toMatchObject({ kind: as, digest: pushed.digest, sizeBytes: blob.length })
        expect(source.name).toBe(reference.includes('@') ? reference : pushed.reference)
        const { bytes, report } = await download(source)
        expect(bytes.equals(blob)).toBe(true)
        expect(report.hash).toMatchObject({ algorithm: 'sha256', verified: true })
        expect(Buffer.from((await source.readRange?.(5, 100)) ?? [])).toEqual(blob.subarray(5, 105))
        await source.close()
      }
      const inside = {
        artifact: () => blob,
        kubevirt: () => gunzipSync(blob),
        containerdisk: () => fileIn(blob),
      }
      expect(inside[as]().equals(disk)).toBe(true)
    },
  )

  test('a containerDisk is a layer as KubeVirt wants it, and an image as others do', async () => {
    const name = `${registry.host}/disks/containerdisk:2`
    const pushed = await pushImage(bytesSource(disk), `oci://${name}`, { ...options, diskFormat: 'raw' })
    const target = path.join(folder, `image-${auth}`)
    await copy(...pullFrom(), `docker://${name}`, `dir:${target}`)
    const stored = (what: string): Promise<Buffer> => readFile(path.join(target, what.replace('sha256:', '')))
    const layer = gunzipSync(await stored(pushed.blob.digest))
    const listed = await run('tar', ['-tv', '--numeric-owner', '-f', await written(layer)])
    expect(listed.stdout).toMatch(
      /^dr-xr-xr-x 107\/107 +0 .* disk\/\n-r--r----- 107\/107 +12070001 .* disk\/disk.img\n$/,
    )
    const { config } = JSON.parse((await stored('manifest.json')).toString()) as {
      config: { digest: string }
    }
    expect(JSON.parse((await stored(config.digest)).toString())).toMatchObject({
      os: 'linux',
      rootfs: { diff_ids: [digest(layer)] },
    })
    const words = ['inspect', '--tls-verify=false', '--authfile', registry.authFile, `docker://${name}`]
    const { stdout } = await run(skopeo, words)
    expect(JSON.parse(stdout)).toMatchObject({ Digest: pushed.digest, Layers: [pushed.blob.digest] })
  })

  test('what skopeo pushed is read: a layer by gzip and by zstd, in formats of OCI and of Docker', async () => {
    const layout = path.join(folder, `layout-${auth}`)
    await run('tar', [
      '--sort=name',
      '-C',
      folder,
      '-cf',
      path.join(folder, 'made.tar'),
      'disk.img',
      '--transform',
      's,^,disk/,',
    ])
    const tar = await readFile(path.join(folder, 'made.tar'))
    await makeLayout(layout, tar)
    const forms = [
      ['zstd', 'oci'],
      ['disk', 'oci'],
      ['disk', 'v2s2'],
    ] as const
    for (const [tag, format] of forms) {
      const name = `${registry.host}/made/${tag}-${format}`
      await copy(...pushTo(), '--format', format, `oci:${layout}:${tag}`, `docker://${name}:x`)
      const source = await ociSource(`oci://${name}:x`, options)
      expect(source).toMatchObject({ kind: 'containerdisk', containerFormat: 'containerdisk' })
      const { bytes } = await download(source)
      await source.close()
      expect(tar.equals(tag === 'zstd' ? zstdDecompressSync(bytes) : gunzipSync(bytes))).toBe(true)
    }
    const lastScope = auth === 'token' ? 'repository:made/disk-v2s2:pull' : undefined
    expect(registry.scopes.at(-1)).toBe(lastScope)
    const local = await ociSource(`oci:${layout}:disk`)
    expect((await download(local)).bytes.equals(tar)).toBe(true)
    await local.close()
  })

  test('without the right credentials nothing is read, and nothing is told of those that were tried', async () => {
    const name = `oci://${registry.host}/disks/artifact:1`
    const wrong = { username: registry.username, password: 'geheim-und-lang' }
    for (const credentials of [undefined, () => Promise.resolve(wrong)]) {
      const error: unknown = await ociSource(name, { ...options, credentials }).catch(
        (reason: unknown) => reason,
      )
      expect(error).toMatchObject({ code: 'IMAGE_NOT_AUTHORIZED' })
      expect(String(error) + JSON.stringify(error)).not.toContain('geheim')
    }
  })

  test('what is not there is not found', async () => {
    for (const reference of ['disks/artifact:2', 'disks/nothing:1']) {
      const found = ociSource(`oci://${registry.host}/${reference}`, options)
      await expect(found).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
    }
  })
})

async function written(bytes: Buffer): Promise<string> {
  const file = path.join(folder, 'layer.tar')
  await writeFile(file, bytes)
  return file
}

/** The file of a layer of ours: behind two headers, of the folder and of itself. */
function fileIn(layer: Buffer): Buffer {
  return gunzipSync(layer).subarray(1024, 1024 + disk.length)
}

/** A folder as other tools make it. */
async function makeLayout(layout: string, tar: Buffer): Promise<void> {
  const blobs = path.join(layout, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    await writeFile(path.join(blobs, hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digest(tar)] },
  }
  const layerType = 'application/vnd.oci.image.layer.v1.tar'
  const makeImage = async (name: string, layer: object): Promise<object> => {
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: await put(Buffer.from(JSON.stringify(config)), 'application/vnd.oci.image.config.v1+json'),
      layers: [layer],
    }
    const image = await put(Buffer.from(JSON.stringify(manifest)), manifest.mediaType)
    return { ...image, annotations: { 'org.opencontainers.image.ref.name': name } }
  }
  const manifests = [
    await makeImage('disk', await put(tar, layerType)),
    await makeImage('zstd', await put(zstdCompressSync(tar), `${layerType}+zstd`)),
  ]
  await writeFile(path.join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}
