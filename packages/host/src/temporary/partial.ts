import { constants } from 'node:fs'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { ProcessRunner } from '@disk-image/core'
import { closeAll } from '@disk-image/io'
import { isFaultOfSystem } from '../errors.ts'
import { newTemporaryName } from './create-temporary-files.ts'
import { removeLeftovers } from './leftovers.ts'
import { type KeptPart, type PartOf, recordNameOf, recordOf, takePart } from './part-record.ts'
import { parseTemporaryName } from './temporary-name.ts'

const suffix = '.partial'
/** Of the final name, so that with everything else 255 bytes suffice. */
const mostNameBytes = 150

/** A file under a temporary name beside the one that it becomes. */
export interface Partial {
  /** The temporary name, for tools. Nothing is there until somebody makes it. */
  readonly path: string
  /** What a killed process left of it, from the start; absent where it is begun anew. */
  readonly kept: Pick<KeptPart, 'bytes' | 'handle'> | undefined
  /** Makes it, mode 0600, or hands out what was kept. */
  create(): Promise<FileHandle>
  /**
   * Gives it its name, and returns when the folder has it on the disk. What has come to be there meanwhile stays.
   *
   * @throws {InvalidError} where something of that name is there
   */
  publish(options: { readonly durable: boolean }): Promise<void>
  /**
   * Writes down beside it that so many bytes of it are on the disk, for whoever goes on after a kill. Never throws: what
   * can't be written down is fetched again.
   */
  record(whole: PartOf, bytes: number): Promise<void>
  /** Removes it. Never throws. */
  discard(): Promise<void>
  /** Ends the use of the folder. */
  close(): Promise<void>
}

/** Whether a name is one that an unfinished file has. */
export function isPartialName(name: string): boolean {
  return name.endsWith(suffix) && parseTemporaryName(name) !== undefined
}

/**
 * Prepares a new file in a folder that exists, and removes what killed processes left of the same.
 *
 * The folder is opened once: who renames it, or puts a link in its place, changes nothing.
 *
 * @param file absolute; nothing is there yet
 * @param runner names and removes with its root helper what this user may not: `ln`, `rm` and `sync`
 * @param find asked where a killed process left the beginning of something: of this the beginning is kept
 */
export async function preparePartial(
  file: string,
  runner?: ProcessRunner,
  find?: () => Promise<PartOf | undefined>,
): Promise<Partial> {
  const folder = path.dirname(file)
  const name = path.basename(file)
  const prefix = prefixOf(name)
  // Without it the new name could not be made durable.
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY).catch((error: unknown) => {
    if (isFaultOfSystem(error)) throw error
    return undefined
  })
  const base = (await usable(handle)) ?? folder
  let kept: KeptPart | undefined
  try {
    if (find !== undefined) kept = await takePart(base, prefix, find)
  } catch (error) {
    await handle?.close().catch(() => undefined)
    throw error
  }
  await removeLeftovers({ directory: base, prefix, suffix }).catch(() => [])
  const temporaryBase = kept?.name ?? newTemporaryName({ prefix, suffix })
  const temporary = path.join(base, temporaryBase)
  const record = path.join(base, recordNameOf(temporaryBase))
  let recording: Promise<void> | undefined = Promise.resolve()
  let isClosed = false
  /** Nothing is written down from now on. */
  const forget = async (): Promise<void> => {
    const last = recording
    recording = undefined
    await last
    if (find !== undefined) await rm(record, { force: true })
  }
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const partial: Partial = {
    path: path.join(folder, temporaryBase),
    kept,
    create: async () => kept?.handle ?? open(temporary, flags, 0o600),
    async record(whole, bytes) {
      recording = recording?.then(() => writeRecord(record, recordOf(whole, bytes)).catch(() => undefined))
      await recording
    },
    async publish({ durable }) {
      try {
        await forget()
        await giveName(temporary, path.join(base, name), file)
        if (durable) await handle?.sync()
      } catch (error) {
        if (runner === undefined || !isForbidden(error)) throw error
        await giveNameAsRoot(runner, partial.path, file, durable)
      }
    },
    async discard() {
      if (isClosed) return
      try {
        await forget().catch(() => undefined)
        await rm(temporary, { force: true })
      } catch {
        await runAsRoot(runner, 'rm', ['-f', '--', partial.path]).catch(() => undefined)
      }
    },
    async close() {
      isClosed = true
      await closeAll(kept?.handle, handle)
    },
  }
  return Object.freeze(partial)
}

function prefixOf(name: string): string {
  return `.${beginningOf(name)}.`
}

/** Removes what a process left that was gone before it had removed the temporary name of a file that is whole. */
export async function removePartialsOf(file: string): Promise<void> {
  const prefix = prefixOf(path.basename(file))
  await removeLeftovers({ directory: path.dirname(file), prefix, suffix }).catch(() => [])
}

async function writeRecord(file: string, record: Buffer): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW
  const handle = await open(file, flags, 0o600)
  try {
    await handle.write(record, 0, record.length, 0)
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

function beginningOf(name: string): string {
  if (Buffer.byteLength(name) <= mostNameBytes) return name
  return new TextDecoder().decode(Buffer.from(name).subarray(0, mostNameBytes)).replaceAll('\uFFFD', '')
}

/** The open folder's name in /proc; undefined where there is no /proc. */
async function usable(handle: FileHandle | undefined): Promise<string | undefined> {
  if (handle === undefined) return undefined
  const name = `/proc/${process.pid}/fd/${handle.fd}`
  const [same, found] = await Promise.all([handle.stat(), stat(name)]).catch(() => [])
  return same !== undefined && found?.ino === same.ino && found.dev === same.dev ? name : undefined
}

const cannotLink = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES'])

/** A link is made only where nothing is; a renaming would replace what is there. */
async function giveName(from: string, to: string, shown: string): Promise<void> {
  try {
    try {
      await link(from, to)
    } catch (error) {
      if (!cannotLink.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      // No links on this file system: an empty file takes the name, and is what the renaming replaces.
      await (await open(to, 'wx', 0o600)).close()
      await rename(from, to)
      return
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new InvalidError({
      reason: `${shown} was made by somebody else meanwhile, and is left as it is.`,
      cause: error,
    })
  }
  await rm(from, { force: true })
}

function isForbidden(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')
}

async function runAsRoot(
  runner: ProcessRunner | undefined,
  file: string,
  args: readonly string[],
): Promise<void> {
  await runner?.run({ file, args }, { asRoot: true, timeoutMs: 30_000 })
}

async function giveNameAsRoot(
  runner: ProcessRunner,
  from: string,
  to: string,
  durable: boolean,
): Promise<void> {
  try {
    await runAsRoot(runner, 'ln', ['--no-target-directory', '--', from, to])
  } catch (cause) {
    throw new InvalidError({
      reason: `${to} could not be made. Was it made by somebody else meanwhile?`,
      cause,
    })
  }
  await runAsRoot(runner, 'rm', ['-f', '--', from])
  if (durable) await runAsRoot(runner, 'sync', ['--', path.dirname(to)])
}
