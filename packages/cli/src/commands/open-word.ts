import path from 'node:path'
import { isatty } from 'node:tty'
import { type DiskFormat, type Checksum, InvalidError } from '@disk-image/core'
import type { ImageUtils, OpenedSource, Word } from '@disk-image/image-utils'
import type { ChecksumList } from '@disk-image/sources'
import type { Command } from 'commander'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { isStandardInput, openStream } from './file-source.ts'
import { readNetworkOptions, readUrlOptions, withNetworkOptions } from './network.ts'
import { collect, size } from './values.ts'

/** Flags of a command that reads from anywhere. */
export interface SourceFlags {
  readonly checksum?: readonly string[]
  /** Bytes per second. */
  readonly limitRate?: number
}

/** Options of a command that reads from anywhere. */
export function withSourceOptions(command: Command): Command {
  return withNetworkOptions(command)
    .option(
      '--checksum <checksum>',
      'what the stored bytes must be: sha256:9f86…, or the URL of a list (…/SHA256SUMS, with #NAME where the file has another name there); may be repeated',
      collect,
    )
    .option(
      '--limit-rate <size>',
      'read and write no more than this each second, for example 20M',
      size('--limit-rate', { plain: 'B' }),
    )
}

/** The option of every command that takes one disk out of what it is wrapped in. */
export function withDiskOption(command: Command): Command {
  return command.option('--disk <name>', 'the disk to take of an OVA or another archive, by its name')
}

/** What a word means: to `fetch` a word without a mark is an image, to other commands a file. */
export async function readSourceWord(word: string, bare: 'image' | 'file'): Promise<Word> {
  const { readWord } = await import('@disk-image/image-utils')
  try {
    return readWord(word, bare)
  } catch (error) {
    // An empty word is a mistake of whoever calls, as an empty id is.
    throw word.trim() === '' ? error : asUsageError(error)
  }
}

/**
 * Opens what a word names. The store is only asked for an image.
 *
 * @throws {UsageError} for a terminal, a named pipe, a socket or a folder
 */
export async function openWord(
  session: Session,
  imageUtils: ImageUtils,
  word: string,
  {
    bare,
    ...options
  }: {
    readonly bare: 'image' | 'file'
    readonly diskFormat?: DiskFormat | undefined
    readonly flags?: GlobalFlags
  },
): Promise<OpenedSource> {
  const read = await readSourceWord(word, bare)
  const { signal } = session.io
  const store = read.kind === 'image' ? await session.store(options.flags ?? session.flags) : undefined
  const stream = read.kind === 'image' || read.kind === 'remote' ? undefined : await openStream(session, word)
  if (isStandardInput(word) && isatty(0)) {
    throw new UsageError('Standard input is a terminal; give a file, or a pipe.')
  }
  try {
    return await imageUtils.openSource(stream === undefined ? word : '-', {
      bare,
      signal,
      diskFormat: options.diskFormat,
      context: store?.context,
      imageService: store?.imageService,
      workingDirectory: session.io.workingDirectory,
      standardInput: stream && (() => stream),
      network: read.kind === 'remote' ? await readNetworkOptions(session, read.reference) : undefined,
    })
  } catch (error) {
    throw read.kind === 'file' ? asUsageError(error) : error
  }
}

function asUsageError(error: unknown): unknown {
  return error instanceof InvalidError ? new UsageError(error.message) : error
}

/** Lists of checksums at URLs, each fetched once. */
export type ChecksumLists = Map<string, Promise<ChecksumList>>

/**
 * `--checksum` with the URL of a list becomes the checksum that the list has.
 *
 * @param word what is read; its file's name is looked up, unless the URL ends with another (`#disk.qcow2`)
 * @param lists those that are there already
 */
export async function lookUpChecksums<Flags extends SourceFlags>(
  session: Session,
  flags: Flags,
  word: string,
  lists: ChecksumLists = new Map(),
): Promise<Flags> {
  const { checksum: texts = [] } = flags
  if (!texts.some(isUrl)) return flags
  const checksum: string[] = []
  for (const text of texts) {
    const url = isUrl(text) ? URL.parse(text) : null
    if (url === null) {
      checksum.push(text)
      continue
    }
    const named = isUrl(word) ? (URL.parse(word)?.pathname ?? '') : word
    const file = path.posix.basename(decode(url.hash === '' ? named : url.hash.slice(1)))
    url.hash = ''
    const list = lists.get(url.href) ?? fetchList(session, url)
    lists.set(url.href, list)
    const { algorithm, value } = (await list).find(file)
    checksum.push(`${algorithm}:${value}`)
  }
  return { ...flags, checksum }
}

async function fetchList(session: Session, url: URL): Promise<ChecksumList> {
  const { fetchChecksumList } = await import('@disk-image/sources')
  return fetchChecksumList(url, {
    ...(await readUrlOptions(session, url.href)),
    signal: session.io.signal,
  })
}

function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What the bytes must be, by `--checksum`. */
export function readChecksums({ checksum: texts = [] }: SourceFlags): readonly Checksum[] {
  return texts.map((text) => {
    const [, algorithm = '', value = ''] = /^([A-Za-z\d_-]+):([\dA-Fa-f]+)$/.exec(text) ?? []
    if (value === '') {
      throw new UsageError(
        `--checksum must be ALGORITHM:HEX, for example sha256:9f86…; it is ${JSON.stringify(text)}.`,
      )
    }
    return { algorithm: algorithm.toLowerCase(), value: value.toLowerCase() }
  })
}

/** How the source is read, for a request of the facade. */
export function readManner(flags: SourceFlags): {
  readonly checksums: readonly Checksum[] | undefined
  readonly throttle: { readonly rateBytesPerSecond: number } | undefined
} {
  const checksums = readChecksums(flags)
  const { limitRate: rateBytesPerSecond } = flags
  return {
    checksums: checksums.length === 0 ? undefined : checksums,
    throttle: rateBytesPerSecond === undefined ? undefined : { rateBytesPerSecond },
  }
}
