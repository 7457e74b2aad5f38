import { lstat, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import {
  type ChainDisk,
  decodeLocatorPath,
  maximumLocatorBytes,
  readBytes,
  VhdError,
} from '@disk-image/disk/vhd'
import { openDisk } from './open-chain.ts'

/** No chain is longer; XenServer's own limit is 30. */
export const longestChain = 1024

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
export async function readLocators(disk: Pick<ChainDisk, 'layout' | 'source'>): Promise<DecodedLocator[]> {
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
export async function findParent(disk: ChainDisk, path: string): Promise<string> {
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

/**
 * Follows a disk's parent locators to its base.
 *
 * Only for files that somebody vouches for: a locator may name any file of this machine.
 *
 * @returns paths, leaf first, base last
 * @throws {VhdError} rules `parent-missing`, `chain-loop`, `chain-length`, or what is wrong with a file
 */
export async function findVhdChain(leafPath: string): Promise<string[]> {
  const chain: string[] = []
  const seen = new Set<string>()
  let path: string | undefined = leafPath
  while (path !== undefined) {
    if (chain.length === longestChain) {
      throw new VhdError({
        path,
        rule: 'chain-length',
        reason: `the chain has more than ${longestChain} disks`,
      })
    }
    const disk = await openDisk(path)
    try {
      const identity = disk.source.identity ?? path
      if (seen.has(identity)) {
        throw new VhdError({ path, rule: 'chain-loop', reason: 'the same file is in the chain twice' })
      }
      seen.add(identity)
      chain.push(path)
      path = disk.type === 'differencing' ? await findParent(disk, path) : undefined
    } finally {
      await disk.close()
    }
  }
  return chain
}

/**
 * The files `0.vhd`, `1.vhd` … of a folder up to the first that is not there: leaf first, base last.
 *
 * @throws {VhdError} rule `not-a-file` where one of them is a link, a folder, a pipe or a device
 * @see cinder.image.image_utils.discover_vhd_chain
 */
export async function discoverVhdChain(directory: string): Promise<string[]> {
  const chain: string[] = []
  while (chain.length < longestChain) {
    const path = join(directory, `${chain.length}.vhd`)
    const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw error
    })
    if (stat === undefined) return chain
    if (!stat.isFile()) throw new VhdError({ path, rule: 'not-a-file', reason: 'it is not a regular file' })
    chain.push(path)
  }
  throw new VhdError({
    path: directory,
    rule: 'chain-length',
    reason: `the chain has more than ${longestChain} disks`,
  })
}
