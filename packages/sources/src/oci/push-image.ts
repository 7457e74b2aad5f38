import { performance } from 'node:perf_hooks'
import {
  adaptLogger,
  type DownloadReport,
  ImageNotAuthorizedError,
  InvalidError,
  MiB,
  type ProgressListener,
  type Source,
} from '@disk-image/core'
import { ConnectionBrokenError, createHttpClient } from '@disk-image/http'
import { PushFailedError } from '../errors.ts'
import { BlobUpload, type UploadedBlob } from './blob-upload.ts'
import { type BlobEncoder, gzipEncoder, plainEncoder, tarEncoder } from './disk-layer.ts'
import { hostPlatform, type OciDiskKind } from './manifest.ts'
import { parseOciReference } from './reference.ts'
import { digestOf, registryError, type RegistryOptions, Repository } from './registry.ts'

/** Options of {@link pushImage}. */
export interface PushOptions extends Omit<RegistryOptions, 'mirrors'> {
  /**
   * `containerdisk`: a layer with the file below `disk/`, for KubeVirt's containerDisks; `artifact`: the file as it is;
   * `kubevirt`: with KubeVirt's media types, a raw disk compressed. @default 'containerdisk'
   */
  readonly as?: OciDiskKind | undefined
  /** What the bytes are; nothing here looks into them. `raw` or `qcow2` for KubeVirt. */
  readonly diskFormat: string
  /** The file's name in the layer, or as the artifact's title. @default `disk.img`, `disk.qcow2` … */
  readonly fileName?: string | undefined
  /** `os/architecture`, of a containerDisk. @default linux and this machine's */
  readonly platform?: string | undefined
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
  /** 1 to 9. @default 6 */
  readonly compressionLevel?: number | undefined
  /** Bytes of a portion of the upload; as many are kept twice. @default 16 MiB */
  readonly portionBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ProgressListener | undefined
}

/** What {@link pushImage} did. */
export interface PushReport {
  /** With the digest, to pin it. */
  readonly reference: string
  /** Of the manifest. */
  readonly digest: string
  /** Of the blob that has the disk. */
  readonly blob: UploadedBlob
  /** What was read. */
  readonly source: DownloadReport
  /** How often a portion that broke off was continued. */
  readonly resumes: number
  readonly durationSeconds: number
}

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const emptyConfig = { type: 'application/vnd.oci.empty.v1+json', bytes: Buffer.from('{}') }

/**
 * Puts a disk image into a registry, in one pass: nothing is read twice, and no more than some portions of it are kept.
 * The tag appears when all of it is there and verified.
 *
 * @param reference `oci://HOST/REPOSITORY:TAG`
 * @throws {InvalidError} {@link PushFailedError} {@link ImageNotAuthorizedError}; what the source throws
 */
export async function pushImage(
  source: Source,
  reference: string,
  options: PushOptions,
): Promise<PushReport> {
  const began = performance.now()
  const parsed = parseOciReference(reference)
  if (parsed.kind !== 'registry' || parsed.tag === undefined || parsed.digest !== undefined) {
    throw new InvalidError({
      reason: 'An image is pushed to a tag of a registry, as in oci://registry.example.org/disks/debian:12',
    })
  }
  const layer = describeLayer(source, options)
  const client = createHttpClient(options)
  const about = { imageId: reference, repository: parsed.repository, actions: 'pull,push' }
  const repository = new Repository(client, parsed.host, about, options)
  const upload = new BlobUpload(repository, reference, {
    portionBytes: options.portionBytes ?? 16 * MiB,
    logger: adaptLogger(options.logger),
    signal: options.signal,
  })
  try {
    await upload.begin()
    const encoder = layer.encode((bytes) => upload.write(bytes))
    const read = await source.download(encoder, { signal: options.signal, onProgress: options.onProgress })
    await encoder.end()
    const blob = await upload.finish()
    const config = layer.config(encoder.diffId)
    const digest = await putManifest(
      repository,
      parsed.tag,
      config,
      layer.manifest(blob, config.bytes),
      options,
    )
    return {
      reference: `oci://${parsed.host}/${parsed.repository}:${parsed.tag}@${digest}`,
      digest,
      blob,
      source: read,
      resumes: upload.resumes,
      durationSeconds: (performance.now() - began) / 1000,
    }
  } catch (error) {
    await upload.cancel()
    options.signal?.throwIfAborted()
    throw pushError(reference, error)
  } finally {
    await client.close()
  }
}

function pushError(reference: string, error: unknown): unknown {
  if (error instanceof ConnectionBrokenError) {
    return new PushFailedError({ reference, reason: error.message, cause: error })
  }
  const translated = registryError(reference, error)
  if (translated === error || translated instanceof ImageNotAuthorizedError) return translated
  return new PushFailedError({ reference, reason: (error as Error).message, cause: error })
}

/** What an image of some kind consists of. */
interface DescribedLayer {
  encode(write: (bytes: Uint8Array) => Promise<void>): BlobEncoder
  config(diffId: string): { readonly type: string; readonly bytes: Buffer }
  manifest(blob: UploadedBlob, config: Buffer): Record<string, unknown>
}

function describeLayer(source: Source, options: PushOptions): DescribedLayer {
  const { as = 'containerdisk', diskFormat, compressionLevel = 6, annotations } = options
  if (!Number.isInteger(compressionLevel) || compressionLevel < 1 || compressionLevel > 9) {
    throw new InvalidError({ reason: `The compression level is ${compressionLevel}; it must be 1 to 9` })
  }
  if (as !== 'artifact' && diskFormat !== 'raw' && diskFormat !== 'qcow2') {
    throw new InvalidError({
      reason: `KubeVirt starts disks that are raw or qcow2, not ${diskFormat}; convert it first, or push it as an artifact`,
    })
  }
  const fileName = options.fileName ?? `disk.${diskFormat === 'raw' ? 'img' : diskFormat}`
  const isCompressed = as === 'containerdisk' || (as === 'kubevirt' && diskFormat === 'raw')
  const { sizeBytes } = source
  if (as === 'containerdisk' && sizeBytes === undefined) {
    throw new InvalidError({
      reason: `The size of ${source.name} is not known before it is read, and stands before it in a layer; put it into a file first, or push it as an artifact`,
    })
  }
  const mediaType = mediaTypeOf(as, diskFormat)
  const title = as === 'containerdisk' ? {} : { annotations: { 'org.opencontainers.image.title': fileName } }
  return {
    encode: (write) => {
      const blob = isCompressed ? gzipEncoder(write, compressionLevel) : plainEncoder(write)
      return as === 'containerdisk' ? tarEncoder(blob, fileName, sizeBytes ?? 0) : blob
    },
    config: (diffId) => (as === 'containerdisk' ? imageConfig(diffId, options.platform) : emptyConfig),
    manifest: (blob, config) => ({
      schemaVersion: 2,
      mediaType: imageType,
      ...(as === 'containerdisk' ? {} : { artifactType: mediaType }),
      config: {
        mediaType: as === 'containerdisk' ? 'application/vnd.oci.image.config.v1+json' : emptyConfig.type,
        digest: digestOf(config),
        size: config.length,
      },
      layers: [{ mediaType, ...blob, ...title }],
      ...(annotations === undefined ? {} : { annotations }),
    }),
  }
}

function mediaTypeOf(as: OciDiskKind, diskFormat: string): string {
  if (as === 'containerdisk') return 'application/vnd.oci.image.layer.v1.tar+gzip'
  if (as === 'artifact') return 'application/octet-stream'
  return `application/vnd.kubevirt.disk.${diskFormat === 'raw' ? 'raw+gzip' : diskFormat}`
}

function imageConfig(diffId: string, platform: string | undefined): { type: string; bytes: Buffer } {
  const [system = '', architecture = '', variant] = (platform ?? hostPlatform()).split('/')
  const config = {
    architecture,
    os: system,
    ...(variant === undefined ? {} : { variant }),
    config: {},
    rootfs: { type: 'layers', diff_ids: [diffId] },
  }
  return { type: 'application/vnd.oci.image.config.v1+json', bytes: Buffer.from(JSON.stringify(config)) }
}

async function putManifest(
  repository: Repository,
  tag: string,
  config: { readonly bytes: Buffer },
  manifest: Record<string, unknown>,
  { signal }: PushOptions,
): Promise<string> {
  await putBlob(repository, config.bytes, signal)
  const text = JSON.stringify(manifest)
  const digest = digestOf(Buffer.from(text))
  const headers = { 'Content-Type': imageType }
  const { error, head } = await repository.sendSmall({
    method: 'PUT',
    where: `manifests/${tag}`,
    headers,
    text,
    signal,
  })
  if (error !== undefined) throw error
  const said = head.headers.get('docker-content-digest')
  if (said === undefined || said === digest) return digest
  throw new InvalidError({
    reason: `${repository.host} has the manifest as ${said.slice(0, 80)}, not ${digest}`,
  })
}

/** A small blob, whose digest is known before. */
async function putBlob(
  repository: Repository,
  bytes: Buffer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const digest = digestOf(bytes)
  const { head: found } = await repository.sendSmall({ method: 'HEAD', where: `blobs/${digest}`, signal })
  if (found.status === 200) return
  const begun = await repository.sendSmall({ method: 'POST', where: 'blobs/uploads/', text: '', signal })
  if (begun.error !== undefined) throw begun.error
  const where = repository.locate(new URL(begun.head.headers.get('location') ?? '', repository.locate('')))
  where.searchParams.set('digest', digest)
  const headers = { 'Content-Type': 'application/octet-stream' }
  const { error } = await repository.sendSmall({
    method: 'PUT',
    where,
    headers,
    text: bytes.toString(),
    signal,
  })
  if (error !== undefined) throw error
}
