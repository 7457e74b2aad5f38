import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import path from 'node:path'
import { ImageNotFoundError, ImageUnacceptableError, MiB, type Source } from '@disk-image/core'
import { allocateBuffer, type ExpectedImage, readFully, transferVerified } from '@disk-image/io'
import { choosePlatform, longestManifestBytes, type OciDescriptor, parseManifest } from './manifest.ts'
import type { OciLayoutReference } from './reference.ts'

const refName = 'org.opencontainers.image.ref.name'

/**
 * A folder that is an OCI image layout, as `skopeo copy … oci:FOLDER` makes it.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
export class LayoutFolder {
  readonly #imageId: string
  readonly #folder: string

  constructor(imageId: string, folder: string) {
    this.#imageId = imageId
    this.#folder = folder
  }

  /** The image that a reference means. */
  async find({ tag, digest }: OciLayoutReference, platform: string): Promise<OciDescriptor> {
    const index = parseManifest(this.#imageId, await this.#readSmall('index.json'))
    if (index.kind !== 'index') {
      throw this.#refuse('oci-manifest', 'The index.json of the folder is no index', 'an OCI image layout')
    }
    const manifests = index.manifests.filter(
      (one) =>
        (tag === undefined || one.annotations[refName] === tag) &&
        (digest === undefined || one.digest === digest),
    )
    const [only, another] = manifests
    if (only === undefined) {
      const named = index.manifests.flatMap(({ annotations }) => annotations[refName] ?? [])
      const detail = `The folder has ${named.length === 0 ? 'no names' : `the names ${named.slice(0, 16).join(', ')}`}.`
      throw new ImageNotFoundError({ imageId: this.#imageId, detail })
    }
    return another === undefined
      ? only
      : choosePlatform(this.#imageId, { kind: 'index', manifests }, platform)
  }

  /** Not verified yet. */
  manifest(digest: string): Promise<Uint8Array> {
    return this.#readSmall(blobPath(digest))
  }

  /** Opens the file of a blob, which is verified while it is read. */
  async openBlob(
    { digest, size }: OciDescriptor,
    expected: ExpectedImage,
  ): Promise<Pick<Source, 'download' | 'readRange'> & { close(): Promise<void> }> {
    const handle = await this.#open(blobPath(digest))
    const found = await handle.stat()
    if (!found.isFile() || found.size !== size) {
      await handle.close()
      const reason = `The file of the blob ${digest} has ${found.size} bytes, its manifest says ${size}`
      throw this.#refuse('oci-digest', reason, 'a whole copy of the image')
    }
    return {
      download: (sink, options = {}) => {
        const chunks = chunksOf(handle, options.resumeFrom?.bytes ?? 0, options.signal)
        return transferVerified(chunks, sink, { ...options, image: expected })
      },
      readRange: async (offset, length) => {
        const bytes = allocateBuffer(Math.min(length, Math.max(0, size - offset)))
        return bytes.subarray(0, await readFully(handle, bytes, offset))
      },
      close: () => handle.close(),
    }
  }

  async #readSmall(name: string): Promise<Uint8Array> {
    await using handle = await this.#open(name)
    const { size } = await handle.stat()
    if (size > longestManifestBytes) {
      throw this.#refuse(
        'oci-manifest',
        `The file ${name} has ${size} bytes`,
        `at most ${longestManifestBytes} bytes`,
      )
    }
    const bytes = new Uint8Array(size)
    return bytes.subarray(0, await readFully(handle, bytes, 0))
  }

  /** What comes from elsewhere may have links and pipes in it: neither is opened, and none is waited for. */
  async #open(name: string): Promise<FileHandle> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
    let handle: FileHandle
    try {
      handle = await open(path.join(this.#folder, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException
      const isLink = code === 'ELOOP'
      if (isLink)
        throw this.#refuse('oci-layout', `The file ${name} of the folder is a link`, 'a folder of files')
      throw new ImageNotFoundError({
        imageId: this.#imageId,
        detail: `The file ${name} of the folder can't be opened: ${code}.`,
        cause: error,
      })
    }
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
    throw this.#refuse('oci-layout', `The file ${name} of the folder is no file`, 'a folder of files')
  }

  #refuse(rule: string, reason: string, accepted: string): ImageUnacceptableError {
    return new ImageUnacceptableError({ imageId: this.#imageId, rule, reason, accepted })
  }
}

function blobPath(digest: string): string {
  return path.join('blobs', ...digest.split(':'))
}

async function* chunksOf(
  handle: FileHandle,
  start: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const buffer = allocateBuffer(MiB)
  for (let position = start; ;) {
    signal?.throwIfAborted()
    const length = await readFully(handle, buffer, position)
    if (length === 0) return
    yield buffer.subarray(0, length)
    position += length
  }
}
