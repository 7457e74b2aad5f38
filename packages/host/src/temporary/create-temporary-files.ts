import { mkdir, open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { TemporaryFileOptions, TemporaryFiles, TemporaryPath } from '@disk-image/core'
import { spaceError } from '../files/space.ts'
import { preparePrivateFolder } from './private-folder.ts'
import {
  hostTag,
  startTicks,
  parseTemporaryName,
  temporaryName,
  type TemporaryOwner,
} from './temporary-name.ts'

/**
 * Temporary files, mode 0600 (directories 0700), in one directory, which is made (0700) when it is missing.
 * Their names tell the process that made them, so that what a killed one left can be found:
 * see `removeLeftovers`.
 *
 * Each call rejects with an `InvalidError` where others than root and this user could swap what is in the directory.
 *
 * @throws {InvalidError} where the directory isn't an absolute path
 * @see cinder.image.image_utils.create_temporary_file, temporary_file, temporary_dir, cleanup_temporary_file
 */
export function createTemporaryFiles(options: { readonly directory: string }): TemporaryFiles {
  const { directory } = options
  if (!path.isAbsolute(directory)) {
    throw new InvalidError({
      reason: `The directory for temporary files must be an absolute path, not '${directory}'`,
    })
  }
  let prepared: Promise<void> | undefined
  /** Looked at once: what is found safe can't be made unsafe by others. */
  const prepare = async (): Promise<void> => {
    prepared ??= preparePrivateFolder(directory, 'folder for temporary files')
    try {
      await prepared
    } catch (error) {
      prepared = undefined
      throw error
    }
  }
  const make = async (create: () => Promise<unknown>): Promise<void> => {
    try {
      await prepare()
      try {
        await create()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        // It was removed since.
        prepared = undefined
        await prepare()
        await create()
      }
    } catch (error) {
      throw (await spaceError(error, { path: directory })) ?? error
    }
  }

  let owner: TemporaryOwner | undefined
  const newPath = (fileOptions: TemporaryFileOptions): string => {
    owner ??= ownIdentity()
    return path.join(directory, newTemporaryName(fileOptions, owner))
  }

  const createFile = async (fileOptions: TemporaryFileOptions = {}): Promise<string> => {
    const file = newPath(fileOptions)
    await make(async () => {
      const handle = await open(file, 'wx', 0o600)
      await handle.close().catch(async (error: unknown) => {
        await rm(file, { force: true })
        throw error
      })
    })
    return file
  }

  return Object.freeze({
    directory,
    createFile,
    async file(fileOptions: TemporaryFileOptions = {}): Promise<TemporaryPath> {
      return handleOf(await createFile(fileOptions))
    },
    async temporaryDirectory(fileOptions: TemporaryFileOptions = {}): Promise<TemporaryPath> {
      const name = newPath(fileOptions)
      await make(() => mkdir(name, { mode: 0o700 }))
      return handleOf(name)
    },
    async cleanup(suffix: string): Promise<void> {
      const names = (await namesIn(directory)).filter(
        (name) => name.endsWith(suffix) && parseTemporaryName(name) !== undefined,
      )
      if (names.length > 0) await prepare()
      for (const name of names) await rm(path.join(directory, name), { recursive: true, force: true })
    },
  })
}

/** A new name that tells this process as its maker: see `removeLeftovers`. */
export function newTemporaryName(
  { prefix = '', suffix = '' }: TemporaryFileOptions,
  owner: TemporaryOwner = ownIdentity(),
): string {
  return temporaryName(owner, prefix, suffix)
}

function ownIdentity(): TemporaryOwner {
  return { hostTag: hostTag(), processId: process.pid, startTicks: startTicks(process.pid) ?? 0 }
}

function handleOf(name: string): TemporaryPath {
  const remove = (): Promise<void> => rm(name, { recursive: true, force: true })
  return Object.freeze({ path: name, [Symbol.asyncDispose]: remove })
}

/** The names in a directory; none where it does not exist. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
