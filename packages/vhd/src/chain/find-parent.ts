import { stat } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { VhdError } from '../errors/vhd-error.ts'
import { decodeLocatorPath, maximumLocatorBytes } from '../format/locator.ts'
import { readBytes } from '../io/byte-source.ts'
import type { Disk } from './disk.ts'

/** A parent locator, decoded. */
export interface DecodedLocator {
  readonly platform: string
  readonly offset: number
  readonly spaceBytes: number
  readonly lengthBytes: number
  /** With forward slashes; absent where it names no file of this machine or is damaged. */
  readonly path: string | undefined
}

/** All locators of a disk in their order. */
export async function readLocators(disk: Pick<Disk, 'layout' | 'source'>): Promise<DecodedLocator[]> {
  const locators: DecodedLocator[] = []
  for (const { platform, offset, lengthBytes, spaceBytes } of disk.layout?.dynamic?.header.locators ?? []) {
    const readable = lengthBytes <= maximumLocatorBytes && offset + lengthBytes <= disk.source.size
    const bytes = readable ? await readBytes(disk.source, offset, lengthBytes) : undefined
    const path = bytes === undefined ? undefined : decodeLocatorPath(platform, bytes)
    locators.push({ platform, offset, spaceBytes, lengthBytes, path })
  }
  return locators
}

/**
 * Finds a disk's parent by its locators: the first that names a file which is there, relative ones to the
 * disk's folder. Never used for archives, whose locators nobody vouches for.
 *
 * @throws {VhdError} rules `not-differencing`, `parent-missing`
 */
export async function findParent(disk: Disk, path: string): Promise<string> {
  if (disk.type !== 'differencing') {
    throw new VhdError({ path, rule: 'not-differencing', reason: 'it has no parent', found: disk.type })
  }
  const tried: string[] = []
  for (const { path: name } of await readLocators(disk)) {
    if (name === undefined || name.includes('\0')) continue
    for (const candidate of candidates(name)) {
      const full = isAbsolute(candidate) ? candidate : resolve(dirname(path), candidate)
      tried.push(full)
      if (await isFile(full)) return full
    }
  }
  const found =
    tried.length === 0 ? 'no locator names a file' : `looked for ${[...new Set(tried)].join(', ')}`
  throw new VhdError({
    path,
    rule: 'parent-missing',
    reason: 'its parent was not found',
    found: found.slice(0, 500),
  })
}

// Names are written verbatim by most programs and escaped by some.
function candidates(name: string): string[] {
  try {
    const decoded = decodeURIComponent(name)
    return decoded === name || decoded.includes('\0') ? [name] : [name, decoded]
  } catch {
    return [name]
  }
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() === true
}
