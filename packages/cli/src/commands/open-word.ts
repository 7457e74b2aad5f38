import { isatty } from 'node:tty'
import { type Checksum, InvalidError } from '@disk-image/core'
import type { ImageUtils, OpenedSource, Word } from '@disk-image/image-utils'
import type { Command } from 'commander'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { isStandardInput, openStream } from './file-source.ts'
import { collect, size } from './values.ts'

/** Flags of a command that reads from anywhere. */
export interface SourceFlags {
  readonly checksum?: readonly string[]
  /** Bytes per second. */
  readonly limitRate?: number
}

/** Options of a command that reads from anywhere. */
export function withSourceOptions(command: Command): Command {
  return command
    .option(
      '--checksum <algorithm:hex>',
      'what the stored bytes must be, for example sha256:9f86…; may be repeated',
      collect,
    )
    .option(
      '--limit-rate <size>',
      'read and write no more than this each second, for example 20M',
      size('--limit-rate', { plain: 'B' }),
    )
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
    readonly diskFormat?: string | undefined
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
    })
  } catch (error) {
    throw read.kind === 'file' ? asUsageError(error) : error
  }
}

function asUsageError(error: unknown): unknown {
  return error instanceof InvalidError ? new UsageError(error.message) : error
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
