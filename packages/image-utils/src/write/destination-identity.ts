import type { BigIntStats } from 'node:fs'
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { isAmongDevices } from '@disk-image/host'

/** What a destination is, whatever it is called. */
export interface DestinationIdentity {
  /**
   * - `file`, `device`: it is there
   * - `new`: a file that can be made
   * - `homeless`: there is no folder to make it in
   * - `nodeless`: there is no such node under `/dev`, where files are never made
   * - `other`: it is there, and can't be written as a volume
   */
  readonly kind: 'file' | 'device' | 'new' | 'homeless' | 'nodeless' | 'other'
  /** Two destinations with one of these in common are the same. */
  readonly keys: readonly string[]
  /** The disk that is written: of a file, the one its file system is on. */
  readonly device: string
}

/** Finds out what a destination is. */
export type DestinationIdentifier = (destination: string) => Promise<DestinationIdentity>

/**
 * Finds out where writing to a path ends up: links are followed, a node of a block device stands for its
 * device, a partition for its disk. It never rejects; what can't be found out is left to whoever opens the path.
 *
 * @param destination an absolute path, of a file that may be missing
 */
export function identifyDestination(destination: string): Promise<DestinationIdentity> {
  return createDestinationIdentifier()(destination)
}

/**
 * The same for many destinations: disks are looked at once, and folders, too, unless they may become others
 * in the meantime.
 */
export function createDestinationIdentifier(
  options: { readonly rememberFolders?: boolean } = {},
): DestinationIdentifier {
  const { rememberFolders = true } = options
  const lookAtFolder = async (
    folder: string,
  ): Promise<{ readonly path: string; readonly device: bigint } | undefined> => {
    const found = await stat(folder, { bigint: true }).catch(() => undefined)
    if (found?.isDirectory() !== true) return undefined
    return { path: await realpath(folder).catch(() => folder), device: found.dev }
  }
  const folders = rememberFolders ? remember(lookAtFolder) : lookAtFolder
  const disks = remember((device) => diskOf(BigInt(device)))

  return async (destination) => {
    const found = await stat(destination, { bigint: true }).catch(() => undefined)
    if (found === undefined) {
      const absolute = path.resolve(destination)
      const folder = await folders(path.dirname(absolute))
      const name = path.join(folder?.path ?? path.dirname(absolute), path.basename(absolute))
      return {
        kind: (await isAmongDevices(name)) ? 'nodeless' : folder === undefined ? 'homeless' : 'new',
        keys: [`path:${name}`],
        device: folder === undefined ? 'unknown' : await disks(String(folder.device)),
      }
    }
    if (found.isBlockDevice()) {
      return { kind: 'device', keys: [`block:${found.rdev}`], device: await disks(String(found.rdev)) }
    }
    const real = await realpath(destination).catch(() => path.resolve(destination))
    return {
      kind: found.isFile() ? 'file' : 'other',
      keys: [`path:${real}`, inodeOf(found)],
      device: await disks(String(found.dev)),
    }
  }
}

function remember<Value>(look: (key: string) => Promise<Value>): (key: string) => Promise<Value> {
  const known = new Map<string, Promise<Value>>()
  return (key) => {
    let value = known.get(key)
    if (value === undefined) {
      value = look(key)
      known.set(key, value)
    }
    return value
  }
}

function inodeOf({ dev, ino }: BigIntStats): string {
  return `inode:${dev}:${ino}`
}

/** Partitions and single-disk mappings are followed this deep. */
const maximumDepth = 8

/**
 * The disk below a device number, as `major:minor`; a file system without a device of its own has a number too.
 *
 * @param sysfs where the kernel tells of its devices
 */
export async function diskOf(device: bigint, sysfs: string = '/sys'): Promise<string> {
  let name = numbersOf(device)
  for (let depth = 0; depth < maximumDepth; depth += 1) {
    const below = await deviceBelow(name, sysfs)
    if (below === undefined) return name
    name = below
  }
  return name
}

async function deviceBelow(name: string, sysfs: string): Promise<string | undefined> {
  const nodes = path.join(sysfs, 'dev/block')
  const target = await readlink(path.join(nodes, name)).catch(() => undefined)
  if (target === undefined) return undefined
  const folder = path.resolve(nodes, target)
  if (await exists(path.join(folder, 'partition'))) return numberIn(path.dirname(folder))
  const slaves = await readdir(path.join(folder, 'slaves')).catch(() => [])
  // A mapping over several disks is a device of its own.
  return slaves.length === 1 ? numberIn(path.join(folder, 'slaves', slaves[0] ?? '')) : undefined
}

async function numberIn(folder: string): Promise<string | undefined> {
  const text = await readFile(path.join(folder, 'dev'), 'utf8').catch(() => '')
  return /^\d+:\d+$/.exec(text.trim())?.[0]
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

/** Linux's 64-bit device number as `major:minor`. */
function numbersOf(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn)
  return `${major}:${minor}`
}
