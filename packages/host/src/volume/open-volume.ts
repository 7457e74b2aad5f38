import { constants } from 'node:fs'
import type { Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, ImageTooBigError, InvalidError } from '@disk-image/core'
import type { ProcessRunner } from '@disk-image/core'
import { createProcessRunner } from '../process/create-process-runner.ts'
import { blockDeviceSize } from './block-device.ts'
import { createVolume } from './create-volume.ts'
import { deviceTarget, fileTarget } from './volume-targets.ts'
import { VolumeAccessError } from './volume-access-error.ts'
import type { Volume } from './volume.ts'

/** Options of {@link openVolume}. */
export interface OpenVolumeOptions {
  /** Bytes that will be written, where known: what can't fit is refused at once. */
  readonly sizeBytes?: number | undefined
  /** Named in errors. @default 'internal image' */
  readonly imageId?: string | undefined
  /** False for what needn't outlive a power cut. @default true */
  readonly durable?: boolean | undefined
  /** For what is read next and then removed: it stays in the page cache, and isn't durable. @default false */
  readonly temporary?: boolean | undefined
  /** Runs `blkdiscard`. @default a runner of its own */
  readonly runner?: ProcessRunner | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a file or block device to be filled in one pass. Nothing of its content changes until the first
 * `write`, `skip` or `finish`; then all old content goes, so that nothing of it can show through a hole.
 * A missing file is made, mode 0600; a missing node under `/dev` is not.
 *
 * @throws {InvalidError} for a directory, pipe, socket or character device, and for what isn't there
 * @throws {VolumeAccessError} where this user may not write it, or the device is in use
 * @throws {ImageTooBigError} where the device is smaller than `sizeBytes`
 */
export async function openVolume(name: string, options: OpenVolumeOptions = {}): Promise<Volume> {
  options.signal?.throwIfAborted()
  const file = path.resolve(name)
  const imageId = options.imageId ?? 'internal image'
  const { temporary = false } = options
  const durable = !temporary && options.durable !== false
  const found = await look(file)
  if (found !== undefined && !found.isFile() && !found.isBlockDevice()) {
    throw new InvalidError({ reason: `${name} is ${kindOf(found)}, not a file or block device` })
  }
  if (found === undefined && /^\/dev\/(?!shm\/)/.test(file)) {
    throw new InvalidError({ reason: `${name} does not exist. No file is made under /dev.` })
  }
  const handle = await openHandle(file, found)
  try {
    const opened = await handle.stat()
    if (opened.isBlockDevice()) {
      const capacity = await blockDeviceSize(file, { runner: options.runner })
      if (options.sizeBytes !== undefined && options.sizeBytes > capacity) {
        const reason = `${formatBytes(options.sizeBytes)} do not fit on ${name}, which has ${formatBytes(capacity)}`
        throw new ImageTooBigError({ imageId, reason })
      }
      const runner = options.runner ?? createProcessRunner()
      const target = deviceTarget({ handle, path: file, capacity, runner, signal: options.signal })
      return createVolume({ handle, path: file, target, created: false, imageId, durable, temporary })
    }
    // Between looking and opening somebody may have put something else there.
    if (!opened.isFile()) throw new InvalidError({ reason: `${name} is not a file or block device` })
    const target = fileTarget(handle, options.sizeBytes ?? 0)
    return createVolume({
      handle,
      path: file,
      target,
      created: found === undefined,
      imageId,
      durable,
      temporary,
    })
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function look(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw accessError(file, error)
  }
}

async function openHandle(file: string, found: Stats | undefined): Promise<FileHandle> {
  // On a device O_EXCL without O_CREAT is refused while a file system or another volume has it.
  const create = constants.O_CREAT | constants.O_EXCL
  const flags = found === undefined ? create : found.isBlockDevice() ? constants.O_EXCL : 0
  try {
    return await open(file, constants.O_RDWR | constants.O_NONBLOCK | flags, 0o600)
  } catch (error) {
    throw accessError(file, error)
  }
}

function accessError(file: string, error: unknown): InvalidError | VolumeAccessError {
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Readonly<Record<string, string>> = {
    EACCES: 'this user may not read and write it',
    EPERM: 'this user may not read and write it',
    EROFS: 'it is on a read-only file system',
    EBUSY: 'it is in use, mounted or part of another volume',
    ETXTBSY: 'it is a program that runs',
  }
  const reason = reasons[code ?? '']
  if (reason !== undefined) return new VolumeAccessError({ path: file, reason, cause: error })
  if (code === 'ENOENT') {
    return new InvalidError({ reason: `${file} can't be made: its folder does not exist`, cause: error })
  }
  return new InvalidError({ reason: `${file} can't be opened: ${message}`, cause: error })
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a directory'
  if (found.isFIFO()) return 'a pipe'
  if (found.isSocket()) return 'a socket'
  if (found.isCharacterDevice()) return 'a character device'
  return 'something else'
}
