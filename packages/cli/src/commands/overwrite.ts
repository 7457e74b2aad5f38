import type { Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { formatBytes, MiB, printable } from '@disk-image/core'
import { isZero, readFully } from '@disk-image/io'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'

/** What a question names of many. */
const named = 3
/** Files that are looked at together. */
const atOnce = 16

/**
 * Lets nothing be written over by mistake: a file that is not empty, and a device that carries something known, are
 * written over with `--force` or `--yes`, or where who sits at the terminal says so.
 *
 * @param destinations absolute paths
 * @throws {UsageError} where it is not to be
 */
export async function confirmOverwrite(session: Session, destinations: readonly string[]): Promise<void> {
  const { flags, io } = session
  if (flags.force === true || flags.yes === true) return
  const found: string[] = []
  for (let at = 0; at < destinations.length; at += atOnce) {
    io.signal.throwIfAborted()
    const some = destinations.slice(at, at + atOnce).map(async (file) => {
      const content = await contentOf(file)
      return content === undefined ? undefined : `${file} ${content}`
    })
    found.push(...(await Promise.all(some)).filter((text) => text !== undefined))
  }
  if (found.length === 0) return
  const more = found.length > named ? [`… and ${found.length - named} more`] : []
  const what = printable([...found.slice(0, named), ...more].join('; '))
  if (io.ask === undefined) throw new UsageError(`${what}. To write over it, use --force.`)
  session.progress.clear()
  const answer = await io.ask(`${what}. Write over ${found.length === 1 ? 'it' : 'them'}? [y/N] `)
  if (!/^y(?:es)?$/i.test(answer.trim())) {
    throw new UsageError('Nothing was written. Give another destination, or --force.')
  }
}

/** @throws {UsageError} where the destination is a file that is read */
export async function checkDifferent(destination: string, source: string): Promise<void> {
  const [to, from] = await Promise.all([destination, source].map((file) => stat(file).catch(() => undefined)))
  if (from === undefined || to === undefined || from.ino !== to.ino || from.dev !== to.dev) return
  throw new UsageError(
    `${printable(destination)} is the same file as ${printable(source)}. Give another destination.`,
  )
}

/** What would be lost, in a few words; undefined where nothing would. */
async function contentOf(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(() => undefined)
  // What is neither, and what may not be read, is told by whoever opens it.
  if (found === undefined || !(found.isFile() || found.isBlockDevice())) return undefined
  if (found.isFile() && (await isEmpty(file, found))) return undefined
  const { inspectFile } = await import('@disk-image/image-utils/inspector')
  const inspected = await inspectFile(file).catch(() => undefined)
  const { format = 'raw', contentName, virtualSizeBytes, fileSizeBytes = found.size } = inspected ?? {}
  const known = format === 'raw' ? contentName : format
  if (found.isBlockDevice()) return known === undefined ? undefined : `carries ${known}`
  const size = formatBytes(format === 'raw' ? fileSizeBytes : (virtualSizeBytes ?? fileSizeBytes))
  return `is not empty: ${known === undefined ? size : `${known}, ${size}`}`
}

/** A file of holes is empty. What the file system counts can be late: both ends are looked at. */
async function isEmpty(file: string, { size, blocks }: Stats): Promise<boolean> {
  if (size === 0) return true
  if (blocks > 0) return false
  await using handle = await open(file, 'r')
  const bytes = new Uint8Array(Math.min(size, MiB))
  for (const at of [0, size - bytes.length]) {
    if (!isZero(bytes.subarray(0, await readFully(handle, bytes, at)))) return false
  }
  return true
}
