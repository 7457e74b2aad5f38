import type { Stats } from 'node:fs'
import { lstat, mkdir, readlink } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { fileKind } from '../files/hold-file.ts'

/** As many as the kernel follows. */
const mostLinks = 40
const groupOrOthersWrite = 0o022
const sticky = 0o1000

/**
 * Makes a folder (0700) where it is missing, and sees to it that nobody but root and this user can put anything else
 * in the place of it, of what is in it, or of a folder above it. Then a name in it leads to what was put there.
 *
 * It is walked from the root down: each step is taken in a folder where nobody else can change the next one.
 *
 * @param role how it is called in errors, for example `folder for temporary files`
 * @throws {InvalidError} which folder is unsafe, why, and what to do
 */
export async function preparePrivateFolder(directory: string, role: string): Promise<void> {
  const userId = process.geteuid?.() ?? 0
  const refuse = (what: string): never => {
    throw new InvalidError({
      reason: `The ${role} ${directory} is not safe: ${what}. Name another folder, or one that does not exist yet; all of it must belong to this user or to root, and be writable by nobody else.`,
    })
  }
  const trusted = ({ uid }: Stats): boolean => uid === userId || uid === 0
  const judge = (name: string, found: Stats): void => {
    if (!found.isDirectory()) refuse(`${name} is ${fileKind(found)}`)
    if (!trusted(found)) refuse(`${name} belongs to user ${found.uid}`)
    if ((found.mode & groupOrOthersWrite) !== 0 && (found.mode & sticky) === 0) {
      refuse(`others may write to ${name} (mode ${(found.mode & 0o7777).toString(8)})`)
    }
  }
  let current = '/'
  let links = 0
  judge(current, await lstat(current))
  const wanted = path.normalize(directory)
  const left = partsOf(path.dirname(wanted))
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '..') {
      current = path.dirname(current)
      continue
    }
    const next = path.join(current, part)
    const found = await lookOrMake(next)
    if (!found.isSymbolicLink()) {
      judge(next, found)
      current = next
      continue
    }
    if (!trusted(found)) refuse(`${next} is a link that belongs to user ${found.uid}`)
    links += 1
    if (links > mostLinks) refuse('its links lead in a circle')
    const target = await readlink(next)
    if (path.isAbsolute(target)) current = '/'
    left.unshift(...partsOf(target))
  }
  const folder = path.join(current, path.basename(wanted))
  judge(folder, await lookOrMake(folder))
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.')
}

async function lookOrMake(name: string): Promise<Stats> {
  try {
    return await lstat(name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  try {
    await mkdir(name, { mode: 0o700 })
  } catch (error) {
    // Somebody else was quicker: what is there now is judged like anything else.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return lstat(name)
}
