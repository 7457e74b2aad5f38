import { type Envelope, formatBytes, ImageUnacceptableError } from '@disk-image/core'
import { type Archive, openArchive } from './archive.ts'
import { GzipDecoder, type GzipTrailer } from './gzip-decoder.ts'
import { GzipError } from '../errors.ts'
import type { Ovf, OvfDisk } from './ovf.ts'
import { readTarHeader } from './tar-header.ts'
import type { MemberSink } from './tar-reader.ts'
import { ZstdDecoder, ZstdError } from './zstd-decoder.ts'

/** What an image may be wrapped in. */
export type EnvelopeName = 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'tar'

/** A disk image as it comes out of its envelopes. */
export interface UnwrappedImage {
  /** The member of an archive; undefined where there is no archive. */
  readonly name: string | undefined
  /** Bytes, where an archive says so. */
  readonly sizeBytes: number | undefined
  /** What an OVA's descriptor says of it. */
  readonly described: OvfDisk | undefined
}

/** Options of {@link Unwrapper}. */
export interface UnwrapperOptions {
  /** Named in refusals. */
  readonly imageId: string
  /**
   * What the outermost envelope must be; `any` takes an image without one, too. `containerdisk`: a layer of a container's
   * image, an archive, plain or compressed, whose folder `disk/` has the disk.
   */
  readonly expected: 'compressed' | 'archive' | 'containerdisk' | 'any'
  /** Most bytes that may come out, of all images together. */
  readonly maxBytes: number
  /**
   * Most bytes that may come out for each that has come in so far, beside 64 MiB: a bound where nobody knows how much
   * comes. @default none
   */
  readonly maxRatio?: number | undefined
  /** Called for each image before its bytes. Without a sink it is passed over: not unpacked, and of any size. */
  readonly open: (image: UnwrappedImage) => Promise<MemberSink | undefined> | MemberSink | undefined
  /** Opens what is not unpacked here. Without it that is refused. */
  readonly openWithTool?: ((name: 'xz' | 'bzip2', sink: MemberSink) => Envelope) | undefined
  /** Told what was left out after the end of the compressed data. */
  readonly onTrailer?: ((trailer: GzipTrailer) => void) | undefined
}

const passOver: Envelope = {
  write: () => undefined,
  end: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
const headBytes = 512
/** Compressed within an archive, or an archive that is compressed: nobody wraps an image oftener than that. */
const mostLayers = 2
/** What an archive may have beside the disks in it: headers, descriptions, and the maps of sparse files. */
const archiveBytes = 16 * 1024 ** 2
/** What may come out whatever came in: a disk's first zeros are packed into nearly nothing. */
const ratioFreeBytes = 64 * 1024 ** 2
const compressors: ReadonlySet<EnvelopeName> = new Set(['gzip', 'zstd', 'xz', 'bzip2'])

const magics: readonly (readonly [EnvelopeName, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 8]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]

/** The envelope that bytes begin, from the first 512 of them; undefined where they begin none that is known. */
export function envelopeOf(head: Uint8Array): EnvelopeName | undefined {
  const found = magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte))
  if (found?.[0] === 'bzip2') {
    // Three letters are soon there by chance: the mark of a block, or of the end, must follow.
    const mark = [...head.subarray(4, 6)].join()
    return mark === '49,65' || mark === '23,114' ? 'bzip2' : undefined
  }
  if (found !== undefined) return found[0]
  const isSkippable = (head[0] ?? 0) >> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18
  if (isSkippable) return 'zstd'
  return head.length >= headBytes && readTarHeader(head.subarray(0, headBytes)) !== undefined
    ? 'tar'
    : undefined
}

/**
 * Takes the images out of what they are wrapped in, by what the bytes are, two layers at most: compressed by gzip,
 * zstd, xz or bzip2, in a tar archive or an OVA, or both.
 */
export class Unwrapper implements Envelope {
  readonly #options: UnwrapperOptions
  readonly #layer: number
  readonly #sum: { bytes: number; read: number }
  /** The image itself, inside an archive. */
  readonly #member: UnwrappedImage | undefined
  /** Who takes it, where that was asked before it was unpacked. */
  readonly #sink: MemberSink | undefined
  #head: Uint8Array = new Uint8Array(0)
  #inner: Envelope | undefined
  #nested: Unwrapper | undefined
  #archive: Archive | undefined
  #name: EnvelopeName | undefined

  constructor(
    options: UnwrapperOptions,
    outer?: {
      readonly unwrapper: Unwrapper
      readonly member?: UnwrappedImage | undefined
      readonly sink?: MemberSink | undefined
    },
  ) {
    this.#options = options
    this.#layer = outer === undefined ? 0 : outer.unwrapper.#layer + 1
    this.#sum = outer === undefined ? { bytes: 0, read: 0 } : outer.unwrapper.#sum
    this.#member = outer?.member
    this.#sink = outer?.sink
  }

  /** What was opened, from the outside to the inside; complete at the end. */
  get opened(): readonly EnvelopeName[] {
    return [...(this.#name === undefined ? [] : [this.#name]), ...(this.#nested?.opened ?? [])]
  }

  /** The descriptor of an OVA, once it has been read. */
  get ovf(): Ovf | undefined {
    return this.#archive?.ovf ?? this.#nested?.ovf
  }

  /** Whether an OVA had a manifest; its digests were right when `end` has resolved. */
  get hasManifest(): boolean {
    return this.#archive?.hasManifest ?? this.#nested?.hasManifest ?? false
  }

  /** Whether an OVA had a certificate, which is not looked at. */
  get hasCertificate(): boolean {
    return this.#archive?.hasCertificate ?? this.#nested?.hasCertificate ?? false
  }

  /**
   * Gives up the file of an archive whose bytes come, where the archive itself is not compressed; what the file is
   * wrapped in is not ended.
   *
   * @returns how many bytes the caller leaves out before the next `write`
   */
  passOver(): number {
    return this.#archive?.passOver() ?? 0
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#layer === 0) this.#sum.read += chunk.length
    if (this.#inner !== undefined) return this.#inner.write(chunk)
    const head = new Uint8Array(this.#head.length + chunk.length)
    head.set(this.#head)
    head.set(chunk, this.#head.length)
    this.#head = head
    if (head.length >= headBytes) await this.#begin()
  }

  async end(): Promise<void> {
    if (this.#inner === undefined) await this.#begin()
    await this.#inner?.end()
    // An archive has ended its members, each when it was whole.
    if (this.#archive === undefined) await this.#nested?.end()
  }

  async close(): Promise<void> {
    await this.#inner?.close()
    await this.#nested?.close()
  }

  async #begin(): Promise<void> {
    const head = this.#head
    this.#head = new Uint8Array(0)
    const name = this.#layer < mostLayers ? envelopeOf(head) : undefined
    this.#check(name)
    this.#name = name
    if (name === undefined) this.#inner = await this.#pass()
    else this.#inner = name === 'tar' ? this.#openArchive() : await this.#decompress(name)
    await this.#inner.write(head)
  }

  #check(name: EnvelopeName | undefined): void {
    const { expected } = this.#options
    if (expected === 'containerdisk' && this.#member === undefined && name !== 'tar') {
      if (this.#layer === 0 && name !== undefined) return
      throw this.#refuse('containerdisk', 'The layer is no tar archive, plain or compressed', {
        offset: 0,
        accepted: 'a layer of a container image (tar, tar+gzip, tar+zstd)',
      })
    }
    if (this.#layer > 0 || expected === 'any' || expected === 'containerdisk') return
    const isRight = name !== undefined && compressors.has(name) === (expected === 'compressed')
    if (isRight) return
    if (expected === 'archive') {
      throw this.#refuse('archive', 'The data is no tar archive, as an OVA is', {
        offset: 0,
        accepted: 'an OVA',
      })
    }
    throw this.#refuse(
      'compressed-container',
      'Unsupported compressed image format found. Only gzip, zstd, xz and bzip2 are supported',
      {
        offset: 0,
        accepted: 'data compressed by gzip, zstd, xz or bzip2',
      },
    )
  }

  /** Hands the bytes on as they are. */
  async #pass(): Promise<Envelope> {
    const image = this.#member ?? { name: undefined, sizeBytes: undefined, described: undefined }
    const sink = this.#sink ?? (await this.#options.open(image))
    if (sink === undefined) return passOver
    if (this.#sink === undefined && (image.sizeBytes ?? 0) > this.#options.maxBytes)
      throw this.#tooLarge(this.#options.maxBytes)
    return {
      write: async (chunk) => {
        this.#count(chunk.length)
        await sink.write(chunk)
      },
      end: async () => {
        await sink.end?.()
      },
      close: () => Promise.resolve(),
    }
  }

  #openArchive(): Envelope {
    const { imageId } = this.#options
    this.#archive = openArchive({
      imageId,
      isLayer: this.#options.expected === 'containerdisk',
      open: (member) => {
        // Holes cost time, even where nobody takes them.
        if (member.holeBytes > this.#options.maxBytes) throw this.#tooLarge(this.#options.maxBytes)
        const nested = new Unwrapper(this.#options, { unwrapper: this, member })
        this.#nested = nested
        return {
          write: (chunk) => nested.write(chunk),
          end: async () => {
            await nested.end()
            await nested.close()
          },
        }
      },
    })
    return this.#archive
  }

  async #decompress(name: 'gzip' | 'zstd' | 'xz' | 'bzip2'): Promise<Envelope> {
    const member = this.#member
    const sink = member === undefined ? undefined : await this.#options.open(member)
    // What nobody takes costs no unpacking, and can be no bomb.
    if (member !== undefined && sink === undefined) return passOver
    const nested = new Unwrapper(this.#options, { unwrapper: this, member, sink })
    this.#nested = nested
    let bytes = 0
    const write = async (chunk: Uint8Array): Promise<void> => {
      bytes += chunk.length
      if (bytes > this.#most + archiveBytes) throw this.#tooLarge(this.#most)
      await nested.write(chunk)
    }
    if (name === 'gzip') return this.#gunzip(write)
    if (name === 'zstd') return this.#unzstd(write)
    const tool = this.#options.openWithTool?.(name, { write })
    if (tool !== undefined) return tool
    throw this.#refuse(
      'compressed-container',
      `The data is compressed by ${name}, which is not unpacked here`,
      {
        offset: 0,
        found: name,
        accepted: 'data compressed by gzip or zstd',
      },
    )
  }

  #gunzip(write: (chunk: Uint8Array) => Promise<void>): Envelope {
    const decoder = new GzipDecoder(write)
    const explain = (error: unknown): unknown => {
      if (!(error instanceof GzipError)) return error
      const { problem, offset, found, accepted } = error
      const rule = problem === 'trailing' ? 'compressed-trailing' : 'compressed-container'
      return this.#refuse(rule, `The compressed data is broken: ${error.message}`, {
        offset,
        found,
        accepted,
        cause: error,
      })
    }
    return {
      write: (chunk) =>
        decoder.write(chunk).catch((error: unknown) => {
          throw explain(error)
        }),
      // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
      end: async () => {
        try {
          const trailer = decoder.end()
          if (trailer !== undefined) this.#options.onTrailer?.(trailer)
        } catch (error) {
          throw explain(error)
        }
      },
      close: () => {
        decoder.destroy()
        return Promise.resolve()
      },
    }
  }

  #unzstd(write: (chunk: Uint8Array) => Promise<void>): Envelope {
    const decoder = new ZstdDecoder(write)
    const explained = async (act: () => Promise<void>): Promise<void> => {
      try {
        await act()
      } catch (error) {
        if (!(error instanceof ZstdError)) throw error
        const reason = `The compressed data is broken: ${error.message}`
        throw this.#refuse('compressed-container', reason, { offset: error.offset, cause: error })
      }
    }
    return {
      write: (chunk) => explained(() => decoder.write(chunk)),
      end: () => explained(() => decoder.end()),
      close: () => {
        decoder.destroy()
        return Promise.resolve()
      },
    }
  }

  #count(bytes: number): void {
    this.#sum.bytes += bytes
    // What is not wrapped has its own length, and no more.
    if (this.#layer > 0 && this.#sum.bytes > this.#most) throw this.#tooLarge(this.#most)
  }

  /** Bytes that may have come out by now. */
  get #most(): number {
    const { maxBytes, maxRatio } = this.#options
    return maxRatio === undefined ? maxBytes : Math.min(maxBytes, maxRatio * this.#sum.read + ratioFreeBytes)
  }

  #tooLarge(maxBytes: number): ImageUnacceptableError {
    return this.#refuse(
      'decompressed-size',
      `Unpacked, the image is larger than the ${formatBytes(maxBytes)} it may have`,
      {
        found: `more than ${formatBytes(maxBytes)}`,
        accepted:
          maxBytes < this.#options.maxBytes
            ? `at most ${this.#options.maxRatio} times the bytes that came; a file, or a volume's size, which say how much it may be`
            : 'an image that fits, or a larger volume',
        reference: 'CVE-2013-4463',
      },
    )
  }

  #refuse(
    rule: string,
    reason: string,
    more: Omit<ConstructorParameters<typeof ImageUnacceptableError>[0], 'imageId' | 'reason' | 'rule'>,
  ): ImageUnacceptableError {
    return new ImageUnacceptableError({ imageId: this.#options.imageId, rule, reason, ...more })
  }
}
