import { type Envelope, ImageUnacceptableError, InvalidError } from '@disk-image/core'
import { HashStream } from '@disk-image/io'
import { longestOvfBytes, type Ovf, type OvfDisk, parseOvf } from './ovf.ts'
import { type MemberSink, type TarMember, TarReader } from './tar-reader.ts'

/** A disk image that an archive holds. */
export interface ArchivedDisk extends TarMember {
  /** What an OVA's descriptor says of it. */
  readonly described: OvfDisk | undefined
}

/** Options of {@link openArchive}. */
export interface ArchiveOptions {
  /** Named in refusals. */
  readonly imageId: string
  /** Whether it is a layer of a container's image, in which only what is below `disk/` is a disk. @default false */
  readonly isLayer?: boolean | undefined
  /** Called for each disk image, in the order of the archive. Without a sink it is passed over. */
  readonly open: (disk: ArchivedDisk) => Promise<MemberSink | undefined> | MemberSink | undefined
}

/** An archive being read. */
export interface Archive extends Envelope {
  /** An OVA's descriptor, once it has been read: before its disks. */
  readonly ovf: Ovf | undefined
  /** Whether a manifest was there, which holds when `end` has resolved; a certificate of it is never looked at. */
  readonly hasManifest: boolean
  readonly hasCertificate: boolean
  /** Gives up the file whose bytes come. @returns how many bytes are left out before the next `write` */
  passOver(): number
}

/** Files that stand beside a disk: descriptions, settings, variables of a firmware. */
const besides =
  /(^|\/)(\._[^/]*|Vagrantfile|PaxHeader[^/]*)$|\.(json|ya?ml|xml|txt|md|nvram|strings|info|rb|pub|xva|sha\d*|md5)$/i

/** As many as a descriptor may have. */
const mostDisks = 256

/**
 * Reads a tar archive that holds disk images: an OVA of one disk or several, a Vagrant box, what Google Cloud exports.
 *
 * With a descriptor (.ovf), which is an OVA's first file, its disks are the disks. Without one every file is taken for
 * a disk that is not known to be something else. A manifest's digests are compared when all has been read, so nothing
 * that was written may be used before `end` has resolved.
 *
 * @see DSP0243
 */
export function openArchive(options: ArchiveOptions): Archive {
  const reader = new ArchiveReader(options)
  const tar = new TarReader({
    open: (member) => reader.open(member),
    refuse: (reason, offset) => reader.refuse('archive', `The archive can't be taken: ${reason}`, { offset }),
  })
  return {
    write: (chunk) => tar.write(chunk),
    end: async () => {
      await tar.end()
      await reader.end()
    },
    close: () => reader.close(),
    passOver: () => tar.passOver(),
    get ovf() {
      return reader.ovf
    },
    get hasManifest() {
      return reader.manifest !== undefined
    },
    get hasCertificate() {
      return reader.hasCertificate
    },
  }
}

class ArchiveReader {
  readonly #options: ArchiveOptions
  readonly #hashes = new Map<
    string,
    { readonly hash: HashStream; digests?: Readonly<Record<string, string>> }
  >()
  readonly #seen = new Set<string>()
  #descriptor: { readonly name: string; readonly bytes: Uint8Array } | undefined
  ovf: Ovf | undefined
  manifest: ReadonlyMap<string, ManifestEntry> | undefined
  hasCertificate = false

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  async open(member: TarMember): Promise<MemberSink | undefined> {
    const name = member.name.replace(/^(?:\.?\/)+/, '')
    if (this.#options.isLayer === true) return this.#openLayerFile(name, member)
    if (/\.ovf$/i.test(name)) return this.#readDescriptor(name)
    if (/\.mf$/i.test(name)) {
      return this.#collect(longestManifestBytes, (bytes) => void (this.manifest = parseManifest(bytes)))
    }
    this.hasCertificate ||= /\.cert$/i.test(name)
    const described = this.ovf?.disks.find(({ file }) => file === name)
    const isDisk =
      this.ovf === undefined
        ? member.sizeBytes > 0 && !/\.cert$/i.test(name) && !besides.test(name)
        : described !== undefined
    if (!isDisk) return undefined
    if (this.#seen.has(name))
      throw this.refuse('archive-twice', `The archive has ${JSON.stringify(name.slice(0, 100))} twice`)
    if (this.#seen.size === mostDisks) {
      throw this.refuse('archive', `The archive holds more than ${mostDisks} files that may be a disk`)
    }
    this.#seen.add(name)
    if (described?.isDelta === true) {
      throw this.refuse(
        'ova-delta-disk',
        `The disk ${described.id} of the archive holds only what changed since another disk`,
        {
          accepted: 'a machine that was exported without snapshots',
        },
      )
    }
    const sink = await this.#options.open({ ...member, name, described })
    return sink === undefined ? undefined : this.#hashed(name, sink, member.sizeBytes)
  }

  /** @see https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts */
  async #openLayerFile(name: string, member: TarMember): Promise<MemberSink | undefined> {
    if (/(^|\/)\.wh\./.test(name)) {
      throw this.refuse(
        'containerdisk',
        `The layer takes files of the layers below it away: ${JSON.stringify(name.slice(0, 100))}`,
        { accepted: 'an image of one layer, with one file below disk/' },
      )
    }
    if (!name.startsWith('disk/')) return undefined
    if (this.#seen.has(name)) {
      throw this.refuse('archive-twice', `The archive has ${JSON.stringify(name.slice(0, 100))} twice`)
    }
    if (this.#seen.size === mostDisks) {
      throw this.refuse('archive', `The archive holds more than ${mostDisks} files that may be a disk`)
    }
    this.#seen.add(name)
    return this.#options.open({ ...member, name, described: undefined })
  }

  async end(): Promise<void> {
    const isLayer = this.#options.isLayer === true
    if (this.#seen.size === 0 && !isLayer)
      throw this.refuse('archive-incomplete', 'The archive holds no disk')
    for (const { file, id } of this.ovf?.disks ?? []) {
      if (file !== undefined && !this.#seen.has(file)) {
        throw this.refuse(
          'archive-incomplete',
          `The archive has no file ${JSON.stringify(file.slice(0, 100))}, which its disk ${id.slice(0, 40)} is in`,
        )
      }
    }
    for (const [name, { algorithm, value }] of this.manifest ?? []) {
      const found = this.#digestOf(name, algorithm)
      if (found === undefined || found === value) continue
      throw this.refuse(
        'ova-manifest',
        `The ${algorithm} of ${JSON.stringify(name.slice(0, 100))} in the archive is not what its manifest says`,
        {
          found,
          accepted: value,
        },
      )
    }
  }

  /** Undefined for what was passed over. */
  #digestOf(name: string, algorithm: string): string | undefined {
    if (this.#descriptor?.name !== name) return this.#hashes.get(name)?.digests?.[algorithm]
    const { createHash } = process.getBuiltinModule('node:crypto')
    return createHash(algorithm).update(this.#descriptor.bytes).digest('hex')
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hashes.values()].map(({ hash }) => hash.close()))
  }

  refuse(
    rule: string,
    reason: string,
    more: { readonly offset?: number; readonly found?: string | undefined; readonly accepted?: string } = {},
  ): ImageUnacceptableError {
    const accepted =
      'a tar archive (OVA) with its descriptor first and its disks after it, or the disk inside'
    return new ImageUnacceptableError({ imageId: this.#options.imageId, reason, rule, accepted, ...more })
  }

  #readDescriptor(name: string): MemberSink {
    if (this.ovf !== undefined)
      throw this.refuse('archive-descriptor', 'The archive has two descriptors (.ovf)')
    if (this.#seen.size > 0) {
      throw this.refuse(
        'archive-descriptor',
        'The descriptor (.ovf) of the archive comes after a disk, so which disks to take is not known in time',
      )
    }
    return this.#collect(longestOvfBytes, (bytes) => {
      this.ovf = parseOvf(bytes)
      this.#descriptor = { name, bytes }
    })
  }

  /** Keeps a small file, and hands it on when it is whole. */
  #collect(most: number, take: (bytes: Uint8Array) => void): MemberSink {
    const parts: Uint8Array[] = []
    let length = 0
    return {
      write: (chunk) => {
        length += chunk.length
        if (length > most)
          throw this.refuse('archive-descriptor', `A description in the archive has more than ${most} bytes`)
        parts.push(new Uint8Array(chunk))
      },
      end: () => {
        const whole = new Uint8Array(length)
        let at = 0
        for (const part of parts) {
          whole.set(part, at)
          at += part.length
        }
        try {
          take(whole)
        } catch (error) {
          if (!(error instanceof InvalidError)) throw error
          throw this.refuse('archive-descriptor', error.message)
        }
      },
    }
  }

  /** A manifest that comes last does not say before which hash it has: then all that it may have are computed. */
  #hashed(name: string, sink: MemberSink, sizeBytes: number): MemberSink {
    const entry = this.manifest?.get(name)
    // Only an OVA has a manifest.
    if (this.ovf === undefined || (this.manifest !== undefined && entry === undefined)) return sink
    const algorithms = entry === undefined ? ['sha1', 'sha256', 'sha512'] : [entry.algorithm]
    // A thread takes as long to start as some MiB to be hashed.
    const hash = new HashStream(algorithms, { inThread: sizeBytes > 4 * 1024 ** 2 })
    const running: { readonly hash: HashStream; digests?: Readonly<Record<string, string>> } = { hash }
    this.#hashes.set(name, running)
    return {
      write: async (chunk) => {
        await Promise.all([hash.write(chunk), sink.write(chunk)])
      },
      end: async () => {
        const digests = await hash.finish()
        running.digests = Object.fromEntries(algorithms.map((name, index) => [name, digests[index] ?? '']))
        await hash.close()
        await sink.end?.()
      },
    }
  }
}

/** Bytes of a manifest that are read. */
const longestManifestBytes: number = 1024 ** 2

/** A digest of one member, as a manifest states it. */
interface ManifestEntry {
  /** Node's name: `sha1`, `sha256`, `sha512`. */
  readonly algorithm: string
  /** Lower-case hex. */
  readonly value: string
}

const lengths: Readonly<Record<string, number>> = { sha1: 40, sha256: 64, sha384: 96, sha512: 128 }

/**
 * Reads an OVA's manifest: a line for each member, `SHA256(disk.vmdk)= hex`.
 *
 * @returns the digests by the members' names
 * @throws {InvalidError} for a line that is none, an unknown algorithm, and two that contradict each other
 * @see DSP0243, section 5.1
 */
export function parseManifest(bytes: Uint8Array): ReadonlyMap<string, ManifestEntry> {
  if (bytes.length > longestManifestBytes) throw bad(`it has more than ${longestManifestBytes} bytes`)
  const entries = new Map<string, ManifestEntry>()
  for (const line of new TextDecoder().decode(bytes).split(/\r\n?|\n/)) {
    if (line.trim() === '') continue
    const [, name, file, hex] = /^ *(SHA-?\d{1,3}) *\((.+)\) *= *([0-9a-f]+) *$/i.exec(line) ?? []
    const algorithm = name?.toLowerCase().replace('-', '') ?? ''
    if (file === undefined || !Object.hasOwn(lengths, algorithm) || hex?.length !== lengths[algorithm]) {
      throw bad(`its line ${JSON.stringify(line.slice(0, 80))} is no digest of a member`)
    }
    const entry = { algorithm, value: (hex ?? '').toLowerCase() }
    const known = entries.get(file)
    if (known !== undefined && known.value !== entry.value)
      throw bad(`it has two digests of ${JSON.stringify(file.slice(0, 80))}`)
    entries.set(file, entry)
  }
  return entries
}

function bad(reason: string): InvalidError {
  return new InvalidError({ reason: `The manifest (.mf) can't be read: ${reason}.` })
}
