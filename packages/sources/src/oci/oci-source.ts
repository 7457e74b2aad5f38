import path from 'node:path'
import { type Checksum, ImageUnacceptableError, type Source } from '@disk-image/core'
import { createHttpClient, type DownloadOrigin } from '@disk-image/http'
import type { ExpectedImage } from '@disk-image/io'
import { LayoutFolder } from './layout.ts'
import {
  chooseDisk,
  choosePlatform,
  hostPlatform,
  type OciDescriptor,
  type OciDisk,
  type OciDiskKind,
  parseManifest,
} from './manifest.ts'
import { type OciReference, type OciRegistryReference, parseOciReference } from './reference.ts'
import {
  digestOf,
  openRepositories,
  registryError,
  type RegistryOptions,
  type Repository,
} from './registry.ts'

/** Options of {@link ociSource}. */
export interface OciSourceOptions extends RegistryOptions {
  /** `os/architecture[/variant]`, where the image is for several. @default linux and this machine's architecture */
  readonly platform?: string | undefined
  /** The digest of the layer that has the disk, where there are several. */
  readonly layer?: string | undefined
  /** Where the path of a folder begins. @default the process's own */
  readonly workingDirectory?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A disk image in a registry, or in a folder that is an OCI image layout. Close it. */
export interface OciSource extends Source {
  readonly sizeBytes: number
  /** The reference with the digest that the tag had: what is read, whatever becomes of the tag. */
  readonly name: string
  /** Of the manifest that the reference led to: an index, where it is one. */
  readonly digest: string
  /** Of the blob. */
  readonly promises: readonly Checksum[]
  readonly kind: OciDiskKind
  /** qemu-img's name, where the media type says it. */
  readonly diskFormat: OciDisk['diskFormat']
  /** As an image's `container_format`; `containerdisk`: a layer, a tar archive with the disk below `disk/`. */
  readonly containerFormat: OciDisk['containerFormat']
  close(): Promise<void>
}

/**
 * Finds a disk image: a containerDisk, an artifact of one file, or one of KubeVirt's media types. Every manifest is
 * verified by its digest, and so is the blob while it is read. A tag is asked for once; all that follows goes by digest.
 *
 * @param reference `oci://HOST/REPOSITORY[:TAG][@DIGEST]` or `oci:FOLDER[:TAG][@DIGEST]`
 * @throws {InvalidError} where it is no reference
 * @throws {ImageNotFoundError} {@link ImageNotAuthorizedError} {@link HttpConnectionFailedError}
 * @throws {ImageUnacceptableError} rules `oci-manifest`, `oci-platform`, `oci-layers`, `oci-digest`
 */
export async function ociSource(reference: string, options: OciSourceOptions = {}): Promise<OciSource> {
  const parsed = parseOciReference(reference)
  if (parsed.kind === 'layout') return layoutSource(parsed, reference, options)
  return registrySource(parsed, reference, options)
}

/** Who has manifests by their digests. */
type ManifestReader = (
  digest: string,
) => Promise<{ readonly bytes: Uint8Array; readonly contentType?: string | undefined }>

/** From the manifest that a reference led to, to the blob. */
async function findDisk(
  imageId: string,
  first: { readonly bytes: Uint8Array; readonly contentType?: string | undefined },
  read: ManifestReader,
  options: OciSourceOptions,
): Promise<OciDisk> {
  const found = parseManifest(imageId, first.bytes, first.contentType)
  if (found.kind === 'manifest') return chooseDisk(imageId, found, options.layer)
  const descriptor = choosePlatform(imageId, found, options.platform ?? hostPlatform())
  const { bytes, contentType } = await read(descriptor.digest)
  checkDescriptor(imageId, descriptor, bytes)
  const image = parseManifest(imageId, bytes, contentType ?? descriptor.mediaType)
  if (image.kind === 'manifest') return chooseDisk(imageId, image, options.layer)
  throw new ImageUnacceptableError({
    imageId,
    rule: 'oci-manifest',
    reason: 'The index leads to another index',
    accepted: 'an index of images',
  })
}

function checkDescriptor(imageId: string, { digest, size }: OciDescriptor, bytes: Uint8Array): void {
  const found = digestOf(bytes, digest)
  if (found === digest && bytes.length === size) return
  throw new ImageUnacceptableError({
    imageId,
    rule: 'oci-digest',
    reason: 'The manifest is not the one that the index says',
    found: `${found}, ${bytes.length} bytes`,
    accepted: `${digest}, ${size} bytes`,
  })
}

function pinned(reference: string, digest: string): string {
  return reference.endsWith(`@${digest}`) ? reference : `${reference}@${digest}`
}

/** What all sources have, from the blob's descriptor. */
function describe(
  name: string,
  digest: string,
  { kind, blob, diskFormat, containerFormat }: OciDisk,
): { readonly expected: ExpectedImage; readonly described: Omit<OciSource, 'download' | 'close'> } {
  const [algorithm = '', value = ''] = blob.digest.split(':')
  return {
    expected: { id: name, size: blob.size, os_hash_algo: algorithm, os_hash_value: value },
    described: {
      name,
      digest,
      sizeBytes: blob.size,
      promises: [{ algorithm, value }],
      kind,
      diskFormat,
      containerFormat,
    },
  }
}

async function registrySource(
  parsed: OciRegistryReference,
  reference: string,
  options: OciSourceOptions,
): Promise<OciSource> {
  const { signal } = options
  const client = createHttpClient(options)
  try {
    const repositories = openRepositories(client, reference, parsed, options)
    const first = await firstOf(repositories, reference, (one) =>
      one.manifest(parsed.digest ?? parsed.tag ?? '', signal),
    )
    // Signals of the search end with it.
    const read: ManifestReader = (digest) =>
      firstOf(repositories, reference, (one) => one.manifest(digest, signal))
    const disk = await findDisk(reference, first, read, options)
    const name = pinned(reference, first.digest)
    const { expected, described } = describe(name, first.digest, disk)
    const origin = (): DownloadOrigin => blobOrigin(repositories, name, disk.blob.digest, expected)
    return {
      ...described,
      download: (sink, how = {}) => client.download(origin(), sink, how),
      readRange: (offset, length, how = {}) => client.readRange(origin(), offset, length, how),
      close: () => client.close(),
    }
  } catch (error) {
    await client.close()
    throw error
  }
}

/** The first server that has it; where none has, the error of the last, which is the registry itself. */
async function firstOf<Found>(
  repositories: readonly Repository[],
  imageId: string,
  act: (repository: Repository) => Promise<Found>,
): Promise<Found> {
  let failure: unknown
  for (const repository of repositories) {
    try {
      return await act(repository)
    } catch (error) {
      failure = registryError(imageId, error)
      if (failure instanceof ImageUnacceptableError) break
    }
  }
  throw failure
}

function blobOrigin(
  repositories: readonly Repository[],
  name: string,
  digest: string,
  expected: ExpectedImage,
): DownloadOrigin {
  let turn = 0
  return {
    name,
    expected,
    fetch: async ({ range, signal, takeBody }) => {
      const headers = range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` }
      const where = `blobs/${digest}`
      for (;;) {
        const answer = await at(repositories, turn).send({
          where,
          headers,
          signal,
          takeBody,
        })
        const isLast = turn % repositories.length === repositories.length - 1
        if (answer.error === undefined || isLast || answer.head.status === 416) return answer
        turn += 1
      }
    },
    nextServer: () => {
      turn += 1
    },
    translate: (error) => registryError(name, error),
  }
}

function at(repositories: readonly Repository[], turn: number): Repository {
  const repository = repositories[turn % repositories.length]
  if (repository === undefined) throw new RangeError('there is no registry')
  return repository
}

async function layoutSource(
  parsed: Extract<OciReference, { readonly kind: 'layout' }>,
  reference: string,
  options: OciSourceOptions,
): Promise<OciSource> {
  const folder = new LayoutFolder(reference, path.resolve(options.workingDirectory ?? '', parsed.folder))
  const chosen = await folder.find(parsed, options.platform ?? hostPlatform())
  const read: ManifestReader = async (digest) => ({ bytes: await folder.manifest(digest) })
  const bytes = await folder.manifest(chosen.digest)
  checkDescriptor(reference, chosen, bytes)
  const disk = await findDisk(reference, { bytes, contentType: chosen.mediaType }, read, options)
  const name = pinned(reference, chosen.digest)
  const { expected, described } = describe(name, chosen.digest, disk)
  return { ...described, ...(await folder.openBlob(disk.blob, expected)) }
}
