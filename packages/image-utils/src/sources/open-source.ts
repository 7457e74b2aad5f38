import path from 'node:path'
import {
  type CallOptions,
  checkImageId,
  type DiskFormat,
  ImageError,
  ImageNotFoundError,
  type ImageRecord,
  type ImageService,
  InvalidError,
  isSameFormat,
  NotSupportedOperationError,
  printableAscii,
  type RequestContext,
  type Source,
} from '@disk-image/core'
import { envelopeOf } from '@disk-image/disk'
import { createInspector } from '@disk-image/format-policy/inspector'
import { holdFile } from '@disk-image/host'
import { AmbiguousImageNameError } from '../errors.ts'
import { hasDriver } from '../route/formats.ts'
import { chooseImageService, type NetworkOptions, type Services } from '../services/services.ts'
import { readWord, type RemoteScheme, type Word } from './read-word.ts'
import {
  type DescribedSource,
  fileSource,
  imageSource,
  peekedBytes,
  showRecord,
  streamSource,
} from './sources.ts'

/** Options of {@link ImageUtils.openSource}. */
export interface OpenSourceOptions extends CallOptions {
  readonly context?: RequestContext | undefined
  /** Where images are; a function is only asked where the word is an image's. @default the facade's own */
  readonly imageService?: ImageService | (() => Promise<ImageService>) | undefined
  /** What a word is that has no mark: `./`, `/`, `file:`, `image:`, a scheme, or the form of an id. @default 'image' */
  readonly bare?: 'image' | 'file' | undefined
  /** Where relative paths begin. @default the process's own */
  readonly workingDirectory?: string | undefined
  /** What `-` reads. @default the process's own */
  readonly standardInput?: (() => AsyncIterable<Uint8Array>) | undefined
  /** Any name of the format, of the disk itself where it is wrapped; what is found must be it. @default whatever is found */
  readonly diskFormat?: DiskFormat | undefined
  /** How a source over a network is reached. @default the facade's own */
  readonly network?: NetworkOptions | undefined
}

/** A source that is open. Close it. */
export interface OpenedSource extends DescribedSource, AsyncDisposable {
  /** How it is called in errors and reports: no secret is in it. */
  readonly name: string
  readonly kind: Word['kind']
  close(): Promise<void>
}

/** What is open, and what it says of itself. */
type Found = DescribedSource & {
  /** Its first bytes, where they are read already. */
  readonly head?: Uint8Array | undefined
}

/** Opens what is read over a network. Each line is loaded where it is wanted only. */
const remotes: Readonly<
  Record<RemoteScheme, ((reference: string, options: OpenSourceOptions) => Promise<Found>) | undefined>
> = {
  https: openUrl,
  http: openUrl,
  s3: openS3,
  oci: openOci,
}

/**
 * Opens what a word names: an image by its id or its name, a file, standard input, a URL, an object, an artifact of a
 * registry. No format is guessed by a name: of an image its record says what it is wrapped in, of anything else its
 * first bytes, unless the option `allowArchivesAsRaw` takes them as they are.
 *
 * @throws {AmbiguousImageNameError} where several images have the name
 * @throws {ImageNotFoundError | ImageNotAuthorizedError | InvalidError}
 */
export async function openSource(
  services: Services,
  word: string,
  options: OpenSourceOptions = {},
): Promise<OpenedSource> {
  options.signal?.throwIfAborted()
  const read = readWord(word, options.bare)
  return describe(services, read.kind, await open(services, read, options), options)
}

/**
 * Opens bytes that come one after the other and can be read once: the body of a request, for example.
 *
 * @param name what a person calls them
 */
export async function openStream(
  services: Services,
  stream: {
    readonly name: string
    readonly body: AsyncIterable<Uint8Array>
    readonly sizeBytes?: number | undefined
  },
  options: Pick<OpenSourceOptions, 'diskFormat' | 'signal'>,
): Promise<OpenedSource> {
  const found = await streamSource(stream.name, stream.body, { ...options, sizeBytes: stream.sizeBytes })
  return describe(services, 'standard-input', found, options)
}

async function describe(
  services: Services,
  kind: Word['kind'],
  found: Found,
  options: OpenSourceOptions,
): Promise<OpenedSource> {
  const { stored, record } = found
  const close = async (): Promise<void> => stored.close?.()
  try {
    const head = await headOf(found, options)
    const containerFormat = found.containerFormat ?? wrapping(services, found, head)
    const isBare = record === undefined && containerFormat === undefined
    const diskFormat = options.diskFormat ?? found.diskFormat
    const looksRaw = isBare && diskFormat === undefined && (await isRawAtItsEnds(stored, head, options))
    const described = { stored, record, diskFormat, looksRaw, containerFormat }
    return Object.freeze({
      ...described,
      name: stored.name,
      kind,
      close,
      [Symbol.asyncDispose]: close,
    })
  } catch (error) {
    await close()
    throw error
  }
}

async function openUrl(url: string, { network }: OpenSourceOptions): Promise<Found> {
  const { httpSource } = await import('@disk-image/sources')
  return { stored: httpSource(url, network?.url) }
}

async function openS3(location: string, { network, signal }: OpenSourceOptions): Promise<Found> {
  const { s3Source } = await import('@disk-image/sources')
  return { stored: await s3Source(location, { ...network?.s3, signal }) }
}

async function openOci(reference: string, options: OpenSourceOptions): Promise<Found> {
  const { ociSource } = await import('@disk-image/sources')
  const { network, signal } = options
  const workingDirectory = options.workingDirectory ?? network?.oci?.workingDirectory
  const stored = await ociSource(reference, { ...network?.oci, signal, workingDirectory })
  const { diskFormat, containerFormat } = stored
  return { stored, diskFormat, containerFormat }
}

async function open(services: Services, word: Word, options: OpenSourceOptions): Promise<Found> {
  switch (word.kind) {
    case 'image':
      return openImage(services, word, options)
    case 'file':
      return { stored: await openFile(path.resolve(options.workingDirectory ?? process.cwd(), word.path)) }
    case 'standard-input':
      return streamSource('standard input', (options.standardInput ?? (() => process.stdin))(), options)
    case 'remote':
    default: {
      const opener = remotes[word.scheme]
      if (opener === undefined)
        throw new NotSupportedOperationError({ operation: `read ${word.scheme}: sources` })
      const { network: own } = services
      const network = options.network ?? (typeof own === 'function' ? await own(word.reference) : own)
      return opener(word.reference, { ...options, network })
    }
  }
}

/** The first bytes of what has no record, where they can be had without beginning. */
async function headOf(
  { stored, record, head }: Found,
  { signal }: OpenSourceOptions,
): Promise<Uint8Array | undefined> {
  if (record !== undefined) return undefined
  if (head !== undefined) return head
  return stored.peek === undefined
    ? stored.readRange?.(0, peekedBytes, { signal })
    : stored.peek(peekedBytes, { signal })
}

/** As an image's `container_format`: what the first bytes say. */
function wrapping(services: Services, { record }: Found, head: Uint8Array | undefined): string | undefined {
  if (record !== undefined || services.options.allowArchivesAsRaw || head === undefined) return undefined
  const envelope = envelopeOf(head)
  return envelope === undefined ? undefined : envelope === 'tar' ? 'ova' : 'compressed'
}

/** Where a format has a mark at its end only: a fixed VHD's footer, a dmg's. */
const tailBytes = 1024

/**
 * Whether neither the start nor the end of the bytes has the mark of a format, so that they may go onto a volume while
 * they arrive. That is a claim like that of a record: the whole is judged all the same.
 */
async function isRawAtItsEnds(
  stored: Source,
  head: Uint8Array | undefined,
  { signal }: OpenSourceOptions,
): Promise<boolean> {
  const { sizeBytes } = stored
  if (stored.readRange === undefined || head === undefined || sizeBytes === undefined) return false
  if (isMarked(head)) return false
  const start = Math.max(head.length, sizeBytes - tailBytes)
  const tail = await stored.readRange(start, sizeBytes - start, { signal })
  return !isMarked(head, tail)
}

/** Whether bytes have the mark of a format. */
function isMarked(...parts: readonly Uint8Array[]): boolean {
  const inspector = createInspector()
  for (const part of parts) inspector.write(part)
  const inspection = inspector.end()
  return hasDriver(inspection) || inspection.format === 'luks'
}

/** A regular file or block device: the one that has the name now, whatever has it later. */
async function openFile(name: string): Promise<Source> {
  const held = await holdFile(name)
  try {
    const handle = await held.open()
    const close = async (): Promise<void> => {
      await handle.close()
      await held[Symbol.asyncDispose]()
    }
    return { ...(await fileSource(name, handle, held.sizeBytes)), close }
  } catch (error) {
    await held[Symbol.asyncDispose]()
    throw error
  }
}

async function openImage(
  services: Services,
  word: Extract<Word, { readonly kind: 'image' }>,
  options: OpenSourceOptions,
): Promise<Found> {
  const { context = {}, imageService: given, signal, diskFormat } = options
  const imageService = typeof given === 'function' ? await given() : chooseImageService(services, given)
  const record = await findImage(imageService, context, word, { signal })
  const { disk_format: recorded } = record
  if (diskFormat !== undefined && typeof recorded === 'string' && !isSameFormat(diskFormat, recorded)) {
    throw new InvalidError({ reason: `Image ${record.id} is ${recorded} by its record, not ${diskFormat}.` })
  }
  return {
    stored: imageSource(imageService, context, record),
    record,
    diskFormat: recorded ?? undefined,
    containerFormat: record.container_format ?? undefined,
  }
}

/** By the id; and what has not the form of one, by the name where no image has it as its id. */
async function findImage(
  imageService: ImageService,
  context: RequestContext,
  { name, isId }: Extract<Word, { readonly kind: 'image' }>,
  call: CallOptions,
): Promise<ImageRecord> {
  checkImageId(name)
  try {
    return await showRecord(imageService, context, name, call)
  } catch (error) {
    const isOther = ImageError.is(error) && ['not-found', 'invalid'].includes(error.kind)
    if (isId || !isOther) throw error
  }
  // A service may take the name for a pattern, or leave the filter out.
  const found = await imageService.detail(context, { ...call, filters: { name } })
  const named = found.filter((record) => record.name === name)
  const usable = named.filter(({ status = 'active' }) => status === 'active')
  const [only] = usable
  if (usable.length > 1) {
    const candidates = usable
      .map(({ id, created_at: created, size }) => ({
        id,
        createdAt: created instanceof Date ? created.toISOString() : (created ?? undefined),
        sizeBytes: size ?? undefined,
      }))
      .toSorted((a, b) => (b.createdAt ?? '').localeCompare(a.createdAt ?? ''))
    throw new AmbiguousImageNameError(printableAscii(name, 200), candidates)
  }
  if (only !== undefined) return showRecord(imageService, context, only.id, call)
  const [unusable] = named
  throw new ImageNotFoundError({
    imageId: printableAscii(name, 200),
    detail:
      unusable === undefined
        ? `No image has this id or name; a file is written with a path: ./${printableAscii(name, 200)}`
        : `The image of this name, ${unusable.id}, is ${unusable.status}.`,
  })
}

/** What of a request says where the bytes are. */
interface SourceRequest extends CallOptions {
  readonly context?: RequestContext | undefined
  readonly imageService?: ImageService | undefined
  readonly source?: DescribedSource | string | undefined
  readonly sourceFormat?: DiskFormat | undefined
}

/** Opens the source that a request names by a word, and closes it when it was used; any other stays as it is. */
export async function withOpenedSource<Request extends SourceRequest, Result>(
  services: Services,
  request: Request,
  use: (
    request: Omit<Request, 'source'> & { readonly source?: DescribedSource | undefined },
  ) => Promise<Result>,
): Promise<Result> {
  const { source, ...rest } = request
  if (typeof source !== 'string') return use({ ...rest, source })
  const { context, imageService, signal, sourceFormat: diskFormat } = request
  await using opened = await openSource(services, source, { context, imageService, signal, diskFormat })
  // Awaited here: it is closed when this returns.
  return await use({ ...rest, source: opened })
}
