import { constants } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { findLeftovers } from './leftovers.ts'
import { newTemporaryName } from './create-temporary-files.ts'

/** What an unfinished file is the beginning of. */
export interface PartOf {
  /** The same for the same bytes only: a digest, or a name with a strong ETag. Only its hash is written down. */
  readonly identity: string
  readonly sizeBytes: number
}

/** The beginning that a killed process left, under a name of this process now. */
export interface KeptPart {
  readonly name: string
  readonly handle: FileHandle
  /** From the start: they are on the disk. */
  readonly bytes: number
}

const partialSuffix = '.partial'
const recordSuffix = '.part-record.partial'
/** One sector holds it. */
const recordBytes = 512

/** The record's name beside its file; whoever removes leftovers finds it like the file. */
export function recordNameOf(partial: string): string {
  return `${partial.slice(0, -partialSuffix.length)}${recordSuffix}`
}

/** A record's bytes: so much of a file is on the disk. */
export function recordOf({ identity, sizeBytes }: PartOf, bytes: number): Buffer {
  const text = JSON.stringify({ identity: hashOf(identity), sizeBytes, bytes })
  const record = Buffer.alloc(recordBytes, ' ')
  record.write(JSON.stringify({ text, check: hashOf(text) }))
  return record
}

/**
 * Takes over what a process that is gone left of the same bytes, where its record is right and nobody else can have the
 * file: a regular one of this user, for nobody else, with this one name.
 *
 * @param find asked only where there is a record
 */
export async function takePart(
  folder: string,
  prefix: string,
  find: () => Promise<PartOf | undefined>,
): Promise<KeptPart | undefined> {
  const records = await findLeftovers({ directory: folder, prefix, suffix: recordSuffix }).catch(() => [])
  if (records.length === 0) return undefined
  const whole = await find()
  if (whole === undefined) return undefined
  for (const { path: record } of records) {
    const partial = `${record.slice(0, -recordSuffix.length)}${partialSuffix}`
    const bytes = await readRecord(record, whole).catch(() => undefined)
    const handle = bytes === undefined ? undefined : await openOwned(partial).catch(() => undefined)
    if (bytes === undefined || handle === undefined) continue
    const name = newTemporaryName({ prefix, suffix: partialSuffix })
    try {
      if ((await handle.stat()).size >= bytes) {
        // Of two that find it one has it: to the other it is gone.
        await rename(partial, `${folder}/${name}`)
        await rename(record, `${folder}/${recordNameOf(name)}`)
        await using now = await openOwned(`${folder}/${name}`)
        const [mine, there] = [await handle.stat(), await now.stat()]
        if (mine.ino === there.ino && mine.dev === there.dev) return { name, handle, bytes }
      }
    } catch {
      // It is somebody else's by now: the next one, or anew. What has a name of ours by now is nobody's.
      await rm(`${folder}/${name}`, { force: true }).catch(() => undefined)
      await rm(`${folder}/${recordNameOf(name)}`, { force: true }).catch(() => undefined)
    }
    await handle.close().catch(() => undefined)
  }
  return undefined
}

async function readRecord(file: string, whole: PartOf): Promise<number | undefined> {
  const handle = await openOwned(file)
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(recordBytes), 0, recordBytes, 0)
    if (bytesRead !== recordBytes) return undefined
    const { text } = JSON.parse(buffer.toString()) as { readonly text: string }
    const { bytes } = JSON.parse(text) as { readonly bytes: number }
    const isBytes = Number.isSafeInteger(bytes) && bytes > 0 && bytes <= whole.sizeBytes
    return isBytes && buffer.equals(recordOf(whole, bytes)) ? bytes : undefined
  } finally {
    await handle.close()
  }
}

/** @throws where it is not a regular file of this user alone */
async function openOwned(file: string): Promise<FileHandle> {
  const handle = await open(file, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const found = await handle.stat().catch(() => undefined)
  const isOwned = found?.isFile() === true && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
  if (isOwned && found.nlink === 1) return handle
  await handle.close().catch(() => undefined)
  throw new Error(`${file} is not a file of this user alone`)
}

function hashOf(text: string): string {
  // Loaded when it is first needed: it takes 4 ms.
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(text).digest('hex')
}
