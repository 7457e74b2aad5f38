import { type FileHandle, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ByteSink,
  type CallOptions,
  type Checksum,
  type DownloadOptions,
  type DownloadReport,
  ImageDownloadFailedError,
  ImageError,
  type Logger,
  type OverlappedSink,
  type Source,
} from '@disk-image/core'
import { newTemporaryName, preparePrivateFolder, removeLeftovers } from '@disk-image/host'
import { SparseSink, toNodeHashName, writeFully } from '@disk-image/io'
import { fileSource } from './sources.ts'

/** Where downloads are kept, for every process that names the folder. */
export interface SourceCacheOptions {
  /** Absolute path; made when missing, mode 0700. */
  readonly directory: string
  /** What it may hold, in bytes of disk space. What was not used for longest goes; what is larger is not kept. */
  readonly maxBytes: number
}

/** What tells bytes for good: two of them that differ have never been found. */
const strong: ReadonlySet<string> = new Set([
  'sha256',
  'sha384',
  'sha512',
  'sha3_256',
  'sha3_384',
  'sha3_512',
  'blake2b',
])
const entrySuffix = '.data'
const partialSuffix = '.partial'
/** A download of another host that nobody has written to for so long has been given up. */
const givenUpMs = 10 * 60_000

/**
 * The same source, whose bytes are kept: read from the folder where they are there already, by a digest that the caller
 * or the source gives, or by the source's identity (address and strong ETag); and compared with the digest that they had.
 *
 * An entry is a file `KEY.ALGORITHM-DIGEST.data`, which has its name when it is whole. The key is a hash: no URL is in it.
 */
export function throughCache(stored: Source, cache: SourceCacheOptions, logger: Logger): Source {
  return {
    name: stored.name,
    get sizeBytes() {
      return stored.sizeBytes
    },
    get promises() {
      return stored.promises
    },
    download: (sink, options = {}) => download(stored, cache, logger, sink, options),
    ...(stored.readRange === undefined ? {} : { readRange: stored.readRange.bind(stored) }),
    ...(stored.close === undefined ? {} : { close: stored.close.bind(stored) }),
  }
}

async function download(
  stored: Source,
  cache: SourceCacheOptions,
  logger: Logger,
  sink: ByteSink | OverlappedSink,
  options: DownloadOptions,
): Promise<DownloadReport> {
  const identity = options.resumeFrom === undefined ? await describeIdentity(stored, options) : undefined
  if (identity === undefined || (stored.sizeBytes ?? 0) > cache.maxBytes)
    return stored.download(sink, options)
  const key = process
    .getBuiltinModule('node:crypto')
    .createHash('sha256')
    .update(identity)
    .digest('hex')
    .slice(0, 40)
  const found = await findOrBegin(cache, key, options).catch((error: unknown) => {
    if (ImageError.is(error) || options.signal?.aborted === true) throw error
    return { error }
  })
  if ('entry' in found) return readEntry(found.entry, stored, sink, options)
  if ('partial' in found) return keepEntry({ ...found, stored, cache, key, logger }, sink, options)
  logger.warn(notKept, found)
  return stored.download(sink, options)
}

const notKept = 'A download was not kept in the cache'

/** What is kept, open; or else a file to put the bytes into, once nobody else downloads them. */
async function findOrBegin(
  cache: SourceCacheOptions,
  key: string,
  { signal }: DownloadOptions,
): Promise<{ readonly entry: Entry } | Begun> {
  await preparePrivateFolder(cache.directory, 'folder of the cache')
  for (;;) {
    signal?.throwIfAborted()
    const entry = await findEntry(cache, key)
    if (entry !== undefined) return { entry }
    const begun = await beginEntry(cache, key)
    if (begun !== undefined) return begun
    // Whoever downloads it has it soon, or gives it up.
    await delay(200, undefined, { signal })
  }
}

/** What some sources say of themselves beyond a digest. */
interface Identified {
  readonly identity?: string | undefined
  describe?(options?: CallOptions): Promise<void>
}

/** What is the same for the same bytes only; undefined where nothing is known that is. */
export async function describeIdentity(
  stored: Source,
  options: Pick<DownloadOptions, 'checksums' | 'signal'>,
): Promise<string | undefined> {
  const source: Source & Identified = stored
  const isKnown = options.checksums?.some(({ algorithm }) => strong.has(algorithm)) === true
  if (!isKnown) await source.describe?.({ signal: options.signal })
  return knownIdentity(stored, options.checksums)
}

/** The same by what is known already. */
export function knownIdentity(
  source: Source & Identified,
  checksums: readonly Checksum[] = [],
): string | undefined {
  const isStrong = ({ algorithm }: Checksum): boolean => strong.has(algorithm)
  const digest = checksums.find(isStrong) ?? source.promises?.find(isStrong)
  if (digest !== undefined) return `${digest.algorithm}:${digest.value.toLowerCase()}`
  return source.identity
}

interface Entry {
  readonly path: string
  readonly handle: FileHandle
  readonly checksum: Checksum
}

interface Begun {
  readonly partial: string
  readonly handle: FileHandle
}

async function findEntry({ directory }: SourceCacheOptions, key: string): Promise<Entry | undefined> {
  for (const name of await readdir(directory)) {
    const [, found, algorithm = '', value = ''] = /^([\da-f]{40})\.(\w+)-([\da-f]+)\.data$/.exec(name) ?? []
    if (found !== key) continue
    const file = path.join(directory, name)
    const handle = await open(file, 'r').catch(undefinedWhereMissing)
    if (handle !== undefined) return { path: file, handle, checksum: { algorithm, value } }
  }
  return undefined
}

/** Reads what is kept. It stays readable until its end, also where it is removed meanwhile. */
async function readEntry(
  { path: file, handle, checksum }: Entry,
  stored: Source,
  sink: ByteSink,
  options: DownloadOptions,
): Promise<DownloadReport> {
  try {
    await utimes(file, new Date(), new Date()).catch(() => undefined)
    const { size } = await handle.stat()
    const promises = options.verify === 'none' ? [] : (stored.promises ?? [])
    const said = [
      ...(options.checksums ?? []),
      ...promises.filter(({ algorithm }) => toNodeHashName(algorithm)),
    ]
    const source = await fileSource(stored.name, handle, size)
    const report = await source.download(sink, { ...options, checksums: [...said, checksum] })
    // That they are what was kept verifies nothing that was not verified before.
    const verified = report.verified.filter(({ algorithm }) =>
      said.some((one) => one.algorithm === algorithm),
    )
    const [best] = verified
    return {
      ...report,
      verified,
      hash: best === undefined ? { ...checksum, verified: false } : { ...best, verified: true },
    }
  } catch (error) {
    // It is not what it was: the next one downloads it again. Where only the target is full, it stays.
    if (error instanceof ImageDownloadFailedError) await rm(file, { force: true }).catch(() => undefined)
    throw error
  } finally {
    await handle.close()
  }
}

/** @returns where to put the bytes; undefined while somebody else downloads them */
async function beginEntry({ directory }: SourceCacheOptions, key: string): Promise<Begun | undefined> {
  const prefix = `${key}.`
  await removeLeftovers({ directory, prefix, suffix: partialSuffix })
  const others = async (): Promise<string[]> => {
    const names = (await readdir(directory)).filter(
      (name) => name.startsWith(prefix) && name.endsWith(partialSuffix),
    )
    const young: string[] = []
    for (const name of names) {
      const found = await stat(path.join(directory, name)).catch(() => undefined)
      if (found !== undefined && Date.now() - found.mtimeMs < givenUpMs) young.push(name)
    }
    return young
  }
  if ((await others()).length > 0) return undefined
  const own = newTemporaryName({ prefix, suffix: partialSuffix })
  const file = path.join(directory, own)
  const handle = await open(file, 'wx+', 0o600)
  try {
    // Of two that began at the same moment one goes on.
    if ((await others()).every((name) => name >= own)) return { partial: file, handle }
  } catch (error) {
    await giveUp(handle, file)
    throw error
  }
  await giveUp(handle, file)
  return undefined
}

/** Nothing is lost with it. */
async function giveUp(handle: FileHandle, file: string): Promise<void> {
  await handle.close().catch(() => undefined)
  await rm(file, { force: true }).catch(() => undefined)
}

function undefinedWhereMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

interface Keeping extends Begun {
  readonly stored: Source
  readonly cache: SourceCacheOptions
  readonly key: string
  readonly logger: Logger
}

/** Downloads, and keeps what was downloaded where all of it was right. That it can't be kept fails nothing. */
async function keepEntry(
  { partial, handle, stored, cache, key, logger }: Keeping,
  sink: ByteSink | OverlappedSink,
  options: DownloadOptions,
): Promise<DownloadReport> {
  try {
    const target = {
      write: (bytes: Uint8Array, offset: number) => writeFully(handle, bytes, offset),
      // A new file reads as zeros.
      zero: async () => undefined,
    }
    const copy = new SparseSink(target, {
      sparse: true,
      checkEnd: (end) => {
        if (end > cache.maxBytes) throw new RangeError('It is larger than the cache')
      },
    })
    let failure: unknown
    const keep = async (chunk: Uint8Array, offset: number): Promise<void> => {
      if (failure === undefined)
        await copy.writeAt(chunk, offset).catch((error: unknown) => (failure ??= error))
    }
    const report = await stored.download(both(sink, keep), options)
    const { hash } = report
    try {
      if (failure !== undefined) throw failure
      if (hash !== undefined) {
        await handle.truncate(copy.offset)
        await handle.datasync()
        const name = `${key}.${hash.algorithm}-${hash.value}${entrySuffix}`
        await rename(partial, path.join(cache.directory, name))
        await makeRoom(cache, key)
      }
    } catch (error) {
      logger.warn(notKept, { error })
    }
    return report
  } finally {
    await giveUp(handle, partial)
  }
}

function both(
  sink: ByteSink | OverlappedSink,
  keep: (chunk: Uint8Array, offset: number) => Promise<void>,
): ByteSink | OverlappedSink {
  let position = 0
  const write = async (chunk: Uint8Array): Promise<void> => {
    const offset = position
    position += chunk.length
    await Promise.all([sink.write(chunk), keep(chunk, offset)])
  }
  if (!('writeAt' in sink)) return { write }
  const writeAt = async (chunk: Uint8Array, offset: number): Promise<void> => {
    await Promise.all([sink.writeAt(chunk, offset), keep(chunk, offset)])
  }
  return { write, writeAt }
}

/** Forgets what was not used for longest. Who reads it just now reads on. */
async function makeRoom({ directory, maxBytes }: SourceCacheOptions, key: string): Promise<void> {
  const entries: { readonly file: string; readonly bytes: number; readonly usedMs: number }[] = []
  for (const name of await readdir(directory)) {
    if (!name.endsWith(entrySuffix)) continue
    const file = path.join(directory, name)
    const found = await stat(file).catch(() => undefined)
    // Holes take nothing.
    if (found !== undefined) entries.push({ file, bytes: found.blocks * 512, usedMs: found.mtimeMs })
  }
  let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
  for (const entry of entries.toSorted((left, right) => left.usedMs - right.usedMs)) {
    if (bytes <= maxBytes) return
    if (path.basename(entry.file).startsWith(key)) continue
    await rm(entry.file, { force: true })
    bytes -= entry.bytes
  }
}
