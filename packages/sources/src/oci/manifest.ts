import os from 'node:os'
import { ImageUnacceptableError, jsonDepth, printable } from '@disk-image/core'
import { isDigest } from './reference.ts'

/** What a manifest says of a blob or of another manifest. */
export interface OciDescriptor {
  readonly mediaType: string
  readonly digest: string
  /** Bytes. */
  readonly size: number
  /** `os/architecture[/variant]`, where it is said. */
  readonly platform: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

/** One image: a manifest of OCI or Docker. */
export interface OciManifest {
  readonly kind: 'manifest'
  readonly config: OciDescriptor
  readonly layers: readonly OciDescriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

/** Several images, of which one is chosen. */
export interface OciIndex {
  readonly kind: 'index'
  readonly manifests: readonly OciDescriptor[]
}

/** How a disk image is kept in a registry. */
export type OciDiskKind = 'containerdisk' | 'artifact' | 'kubevirt'

/** The blob that is the disk, and what it is by its media type. */
export interface OciDisk {
  readonly kind: OciDiskKind
  readonly blob: OciDescriptor
  /** qemu-img's name; undefined where only the bytes can tell. */
  readonly diskFormat: 'qcow2' | 'raw' | undefined
  /** As an image's `container_format`; `containerdisk`: a layer, a tar archive with the disk below `disk/`. */
  readonly containerFormat: 'bare' | 'compressed' | 'containerdisk' | undefined
}

/** Longest manifest that is read. @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests */
export const longestManifestBytes: number = 4 * 1024 ** 2
/** As many as any builder makes, several times over. */
const mostDescriptors = 1024
const deepest = 32

const manifestTypes: ReadonlyMap<string, 'manifest' | 'index'> = new Map([
  ['application/vnd.oci.image.manifest.v1+json', 'manifest'],
  ['application/vnd.docker.distribution.manifest.v2+json', 'manifest'],
  ['application/vnd.oci.image.index.v1+json', 'index'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
])

/** For the header `Accept`. */
export const acceptedManifests: string = [...manifestTypes.keys()].join(', ')

/** Configs of images that run as containers; any other belongs to an artifact. */
const imageConfigs: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])

const emptyType = 'application/vnd.oci.empty.v1+json'
const layerPattern =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.diff\.tar(?:\.(?:gzip|zstd))?)$/
const kubevirtPattern = /^application\/vnd\.kubevirt\.disk\.(qcow2|raw|raw\+gzip|raw\+zstd)$/

/**
 * Reads a manifest or an index.
 *
 * @param imageId named in refusals
 * @param contentType what the registry calls it, where it does
 * @throws {ImageUnacceptableError} rule `oci-manifest`
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
 */
export function parseManifest(
  imageId: string,
  bytes: Uint8Array,
  contentType?: string,
): OciManifest | OciIndex {
  const reading = new ManifestReader(imageId)
  const document = reading.json(bytes)
  const inside = document['mediaType']
  // A document that is both, or that is called both, is read by each reader as it likes.
  if (typeof inside === 'string' && contentType !== undefined && contentType !== inside) {
    throw reading.refuse(`it says ${reading.quote(inside)}, the registry ${reading.quote(contentType)}`)
  }
  const hasImages = document['manifests'] !== undefined
  const hasLayers = document['layers'] !== undefined || document['config'] !== undefined
  if (hasImages === hasLayers) {
    throw reading.refuse(
      hasImages ? 'it is an image and an index at once' : 'it has neither images nor layers',
    )
  }
  const type = typeof inside === 'string' ? inside : contentType
  const kind = hasImages ? 'index' : 'manifest'
  if (type !== undefined && manifestTypes.get(type) !== kind) {
    throw reading.refuse(`its media type is ${reading.quote(type)}`)
  }
  if (kind === 'index') return { kind, manifests: reading.descriptors(document['manifests']) }
  return {
    kind,
    config: reading.descriptor(document['config']),
    layers: reading.descriptors(document['layers']),
    annotations: reading.annotations(document['annotations']),
  }
}

type Fields = Readonly<Record<string, unknown>>

class ManifestReader {
  readonly #imageId: string

  constructor(imageId: string) {
    this.#imageId = imageId
  }

  json(bytes: Uint8Array): Fields {
    if (bytes.length > longestManifestBytes)
      throw this.refuse(`it has more than ${longestManifestBytes} bytes`)
    let text: string
    let document: unknown
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
      if (jsonDepth(text) > deepest) throw new SyntaxError('nested too deeply')
      document = JSON.parse(text)
    } catch (error) {
      // What JSON.parse says repeats the text.
      throw this.refuse('it is no JSON', error instanceof RangeError ? error : undefined)
    }
    return this.#fields(document, 'it')
  }

  descriptors(value: unknown): OciDescriptor[] {
    if (!Array.isArray(value)) throw this.refuse('it has no list of images or layers')
    if (value.length > mostDescriptors)
      throw this.refuse(`it lists more than ${mostDescriptors} images or layers`)
    return value.map((one) => this.descriptor(one))
  }

  descriptor(value: unknown): OciDescriptor {
    const fields = this.#fields(value, 'what it lists')
    const { mediaType, digest, size } = fields
    if (typeof mediaType !== 'string' || mediaType.length > 255)
      throw this.refuse('what it lists has no media type')
    if (typeof digest !== 'string' || !isDigest(digest)) {
      throw this.refuse(`what it lists has the digest ${this.quote(digest)}, not sha256 or sha512`)
    }
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw this.refuse(`what it lists has the size ${this.quote(size)}`)
    }
    return {
      mediaType,
      digest,
      size,
      platform: this.#platform(fields['platform']),
      annotations: this.annotations(fields['annotations']),
    }
  }

  annotations(value: unknown): Record<string, string> {
    if (value === undefined || value === null) return {}
    const pairs = Object.entries(this.#fields(value, 'its annotations'))
    return Object.fromEntries(pairs.filter((pair): pair is [string, string] => typeof pair[1] === 'string'))
  }

  refuse(why: string, cause?: unknown): ImageUnacceptableError {
    return refuse(this.#imageId, 'oci-manifest', `The manifest can't be taken: ${why}`, {
      accepted: `a manifest or an index of OCI or Docker, at most ${longestManifestBytes} bytes long`,
      cause,
    })
  }

  /** Something that was found there, short and on one line. */
  quote(value: unknown): string {
    return printable(JSON.stringify(value)?.slice(0, 100) ?? 'none')
  }

  #platform(value: unknown): string | undefined {
    if (value === undefined || value === null) return undefined
    const { os, architecture, variant } = this.#fields(value, 'a platform of it')
    const parts = [os, architecture, ...(variant === undefined || variant === '' ? [] : [variant])]
    const isName = (part: unknown): boolean => typeof part === 'string' && /^[\w.-]{1,64}$/.test(part)
    return parts.every((part) => isName(part)) ? parts.join('/') : 'unknown/unknown'
  }

  #fields(value: unknown, what: string): Fields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
    throw this.refuse(`${what} is no object`)
  }
}

/** Linux on this machine's architecture, as Go and OCI call it. */
export function hostPlatform(): string {
  const names: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    ppc64: 'ppc64le',
    mipsel: 'mipsle',
  }
  const name = os.arch()
  return `linux/${names[name] ?? name}`
}

/**
 * The image of an index for a platform; an only one is taken whatever it is for.
 *
 * @param platform `os/architecture[/variant]`
 * @throws {ImageUnacceptableError} rule `oci-platform`
 */
export function choosePlatform(imageId: string, index: OciIndex, platform: string): OciDescriptor {
  // What a builder says about the images stands among them.
  const images = index.manifests.filter(
    ({ mediaType, annotations }) =>
      manifestTypes.has(mediaType) && annotations['vnd.docker.reference.type'] === undefined,
  )
  const fits = images.filter(({ platform: has = '' }) => has === platform || has.startsWith(`${platform}/`))
  const [only, another] = images.length === 1 ? images : fits
  if (only !== undefined && another === undefined) return only
  const has = only === undefined ? 'no image' : 'several images'
  const offered = images.map(
    ({ platform: name, digest }) => `${name ?? 'any platform'} (${digest.slice(0, 19)}…)`,
  )
  throw refuse(imageId, 'oci-platform', `The index has ${has} for ${printable(platform, 80)}`, {
    found: offered.slice(0, 16).join(', ') || 'no images',
    accepted:
      'another platform (platform, --platform), or the digest of one of its images in place of the tag',
  })
}

/**
 * The blob of an image that is the disk: a layer (containerDisk), the one file of an artifact, or KubeVirt's.
 *
 * @param layer the digest of the layer to take, where there are several
 * @throws {ImageUnacceptableError} rule `oci-layers`
 */
export function chooseDisk(imageId: string, manifest: OciManifest, layer?: string): OciDisk {
  const all = manifest.layers.filter(({ mediaType }) => mediaType !== emptyType)
  const disks = all.filter(({ mediaType }) => kubevirtPattern.test(mediaType))
  const chosen = (disks.length > 0 ? disks : all).filter(
    ({ digest }) => layer === undefined || digest === layer,
  )
  const [blob, another] = chosen
  if (blob === undefined || another !== undefined) {
    const found = all.map(
      ({ mediaType, digest, size }) => `${digest} (${printable(mediaType, 80)}, ${size} bytes)`,
    )
    const reason = `The image has ${chosen.length === 0 ? 'no layer' : `${chosen.length} layers`} to take`
    throw refuse(imageId, 'oci-layers', reason, {
      found: found.slice(0, 16).join('; ') || 'no layers',
      accepted: 'an image of one layer, or the digest of the layer that has the disk (layer)',
    })
  }
  const [, kubevirt] = kubevirtPattern.exec(blob.mediaType) ?? []
  if (kubevirt !== undefined) {
    return {
      kind: 'kubevirt',
      blob,
      diskFormat: kubevirt === 'qcow2' ? 'qcow2' : 'raw',
      containerFormat: kubevirt.includes('+') ? 'compressed' : 'bare',
    }
  }
  if (!imageConfigs.has(manifest.config.mediaType)) {
    return { kind: 'artifact', blob, diskFormat: undefined, containerFormat: undefined }
  }
  if (layerPattern.test(blob.mediaType)) {
    return { kind: 'containerdisk', blob, diskFormat: undefined, containerFormat: 'containerdisk' }
  }
  throw refuse(imageId, 'oci-layers', 'The layer of the image is of a kind that is not read', {
    found: printable(blob.mediaType, 255),
    accepted: 'a tar archive, plain or compressed by gzip or zstd',
  })
}

function refuse(
  imageId: string,
  rule: string,
  reason: string,
  more: { readonly found?: string; readonly accepted?: string; readonly cause?: unknown },
): ImageUnacceptableError {
  return new ImageUnacceptableError({ imageId, rule, reason, ...more })
}
