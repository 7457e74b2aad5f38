import { open, readFile, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { constants } from 'node:fs'
import { InvalidError, type ProcessRunner } from '@disk-image/core'
import { isFaultOfSystem } from '../errors.ts'

/** Whether a path is a block device, also through a symbolic link. False where there is nothing. */
export async function isBlockDevice(name: string): Promise<boolean> {
  try {
    return (await stat(name)).isBlockDevice()
  } catch (error) {
    if (isFaultOfSystem(error)) throw error
    return false
  }
}

/** Options of {@link blockDeviceSize}. */
export interface BlockDeviceSizeOptions {
  /** Asks `blockdev --getsize64` where neither sysfs nor reading the device tells. */
  readonly runner?: ProcessRunner | undefined
  readonly asRoot?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Bytes of a block device: from sysfs, which anybody may read; else by finding the last readable byte; else
 * from `blockdev`.
 *
 * @throws {InvalidError} where it is no block device, or nothing tells its size
 */
export async function blockDeviceSize(name: string, options: BlockDeviceSizeOptions = {}): Promise<number> {
  if (!(await isBlockDevice(name))) throw new InvalidError({ reason: `${name} is not a block device` })
  const known = (await sizeFromSysfs(name)) ?? (await sizeByReading(name))
  if (known !== undefined) return known
  const printed = await options.runner?.run(
    { file: 'blockdev', args: ['--getsize64', path.resolve(name)] },
    { asRoot: options.asRoot, signal: options.signal, timeoutMs: 30_000, maxOutputBytes: 4096 },
  )
  const text = printed?.stdout.trim() ?? ''
  const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(size))
    throw new InvalidError({ reason: `The size of ${name} can't be found out` })
  return size
}

/** sysfs' folder of a block device, by its number: names may be links, numbers are what is opened. */
export async function sysfsFolder(name: string): Promise<string> {
  const { rdev } = await stat(name, { bigint: true })
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)
  return `/sys/dev/block/${major}:${minor}`
}

async function sizeFromSysfs(name: string): Promise<number | undefined> {
  try {
    const sectors = Number((await readFile(path.join(await sysfsFolder(name), 'size'), 'latin1')).trim())
    return Number.isSafeInteger(sectors * 512) ? sectors * 512 : undefined
  } catch {
    return undefined
  }
}

async function sizeByReading(name: string): Promise<number | undefined> {
  try {
    const handle = await open(name, 'r')
    try {
      return await sizeByProbing(handle)
    } finally {
      await handle.close()
    }
  } catch {
    return undefined
  }
}

/** The bytes that can be read: doubles, then halves, at most 106 reads of one byte. */
export async function sizeByProbing(handle: FileHandle): Promise<number> {
  const byte = new Uint8Array(1)
  const has = async (offset: number): Promise<boolean> => {
    try {
      return (await handle.read(byte, 0, 1, offset)).bytesRead === 1
    } catch (error) {
      // A byte that can't be read is no end: the device would be taken for a shorter one.
      if (isFaultOfSystem(error)) throw error
      return false
    }
  }
  if (!(await has(0))) return 0
  let low = 0
  let high = 1
  while (high < 2 ** 52 && (await has(high))) [low, high] = [high, high * 2]
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2)
    if (await has(middle)) low = middle
    else high = middle
  }
  return low + 1
}

/**
 * Whether a file that is made there, in a folder without links, would be one among the devices, wherever those are
 * mounted. `/dev/shm` is a folder for files.
 */
export async function isAmongDevices(file: string): Promise<boolean> {
  if (/^\/dev\/shm\/./.test(file)) return false
  if (/^\/dev(\/|$)/.test(file)) return true
  const [devices, root, folder] = await Promise.all(
    ['/dev', '/', path.dirname(file)].map((name) => stat(name).catch(() => undefined)),
  )
  // The same file system, mounted somewhere else.
  return devices !== undefined && devices.dev !== root?.dev && devices.dev === folder?.dev
}

/**
 * A missing node under `/dev` is never made.
 *
 * @param file where it would be made, in a folder without links
 * @param shown what the caller calls it
 * @throws {InvalidError} where {@link isAmongDevices} says so
 */
export async function refuseAmongDevices(file: string, shown: string): Promise<void> {
  if (!(await isAmongDevices(file))) return
  const reason = `There is no device ${shown}. Writing there would create a regular file in RAM.`
  throw new InvalidError({ reason })
}

/** Options of {@link supportsDirectIo}. */
export interface DirectIoOptions {
  /** Used with `asRoot` for what this user may not open: `dd` opens it, and moves no byte. */
  readonly runner?: ProcessRunner | undefined
  readonly asRoot?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Whether a file or device can be opened for writing with O_DIRECT. It is really opened, neither read nor
 * written, never made and never cut. False where it does not exist.
 *
 * @see cinder.volume.volume_utils.check_for_odirect_support
 */
export async function supportsDirectIo(name: string, options: DirectIoOptions = {}): Promise<boolean> {
  const direct = constants.O_DIRECT as number | undefined
  if (direct === undefined) return false
  try {
    const handle = await open(name, constants.O_WRONLY | direct)
    await handle.close()
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (options.asRoot !== true || options.runner === undefined) return false
    if (code !== 'EACCES' && code !== 'EPERM') return false
  }
  try {
    const args = [
      'count=0',
      'if=/dev/zero',
      `of=${path.resolve(name)}`,
      'oflag=direct',
      'conv=notrunc,nocreat',
    ]
    await options.runner.run(
      { file: 'dd', args },
      { asRoot: true, signal: options.signal, timeoutMs: 30_000 },
    )
    return true
  } catch {
    options.signal?.throwIfAborted()
    return false
  }
}
