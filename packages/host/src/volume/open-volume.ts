import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, ImageError, ImageTooBigError, InvalidError } from '@disk-image/core'
import type { ProcessRunner, WriteRight } from '@disk-image/core'
import { createProcessRunner } from '../process/create-process-runner.ts'
import { isFaultOfSystem, VolumeAccessError } from '../errors.ts'
import { blockDeviceSize } from '../files/block-device.ts'
import { fileKind, isHeldPath } from '../files/hold-file.ts'
import { spaceError } from '../files/space.ts'
import { type Partial, preparePartial, removePartialsOf } from '../temporary/partial.ts'
import type { PartOf } from '../temporary/part-record.ts'
import { type Place, resolvePlace } from './place.ts'
import { createRootHandle, type VolumeHandle, deviceMedium, fileMedium, type Medium } from './media.ts'
import { OpenedVolume, type Volume } from './volume.ts'
import { WriteGuard } from './guarded-handle.ts'

/** Options of {@link openVolume}. */
export interface OpenVolumeOptions {
  /**
   * Bytes of the disk that was judged, where known. What can't fit is refused at once, and so is each write beyond it,
   * up to the end of the sector.
   */
  readonly sizeBytes?: number | undefined
  /** A file becomes at least so long, and reads as zeros behind its disk; a device has its own size. @default 0 */
  readonly fileLengthBytes?: number | undefined
  /** Named in errors. @default 'internal image' */
  readonly imageId?: string | undefined
  /** False for what needn't outlive a power cut. @default true */
  readonly durable?: boolean | undefined
  /** For what is read next and then removed: it stays in the page cache, and isn't durable. @default false */
  readonly temporary?: boolean | undefined
  /** Runs `blkdiscard`. @default a runner of its own */
  readonly runner?: ProcessRunner | undefined
  /**
   * What this user may not write is written through the runner's root helper, with one `dd` for each change: for the
   * ends of a disk of which a tool writes the rest. @default false
   */
  readonly asRoot?: boolean | undefined
  /**
   * For a new file: where it is until it is committed, prepared before and the volume's from now on, and what it is the
   * beginning of, asked while it is written. What is said to have been {@link Volume.reached} is kept after a kill.
   */
  readonly partial?: { readonly prepared: Partial; readonly whole: () => PartOf | undefined } | undefined
  readonly signal?: AbortSignal | undefined
  /** Asked before each write, by the thread that writes. @default it is this process's without end */
  readonly writeRight?: WriteRight | undefined
}

/**
 * Opens a file or block device to be filled in one pass. Nothing of its content changes until the first
 * `write`, `zero` or `commit`; then all old content goes, so that nothing of it can show through a hole.
 *
 * A missing file is made, mode 0600, under a temporary name beside it until it is committed; a missing node under
 * `/dev` is not. Of what is there the head is written last. Whenever the process is killed, there is the old content,
 * or nothing that a reader takes for an image, or the whole.
 *
 * @throws {InvalidError} for a directory, pipe, socket or character device, and for what isn't there
 * @throws {VolumeAccessError} where this user may not write it, or the device is in use
 * @throws {ImageTooBigError} where the device is smaller than `sizeBytes`
 */
export async function openVolume(name: string, options: OpenVolumeOptions = {}): Promise<Volume> {
  options.signal?.throwIfAborted()
  const place = await look(path.resolve(name))
  const { found } = place
  if (found !== undefined && !found.isFile() && !found.isBlockDevice()) {
    throw new InvalidError({ reason: `${name} is ${fileKind(found)}, not a file or block device` })
  }
  const { temporary = false, sizeBytes, imageId = 'internal image' } = options
  const partial =
    found === undefined ? (options.partial?.prepared ?? (await preparePartial(place.path))) : undefined
  if (found?.isFile() === true && !temporary) await removePartialsOf(place.path)
  const guard = options.writeRight && new WriteGuard(options.writeRight)
  const unguarded = await openHandle(name, place, partial, options)
  const handle = guard?.guard(unguarded.handle) ?? unguarded.handle
  const opened = { ...unguarded, handle }
  try {
    const durable = !temporary && options.durable !== false
    return new OpenedVolume({
      handle,
      path: path.resolve(name),
      medium: await chooseMedium(name, opened, {
        ...options,
        durable,
        imageId,
        isNew: partial !== undefined,
        keptBytes: partial?.kept?.bytes ?? 0,
      }),
      partial,
      whole: options.partial?.whole,
      boundBytes: sizeBytes === undefined ? Infinity : Math.ceil(sizeBytes / 512) * 512,
      fileLengthBytes: options.fileLengthBytes ?? 0,
      imageId,
      durable,
      temporary,
      guard,
    })
  } catch (error) {
    await guard?.close()
    await handle.close().catch(() => undefined)
    await partial?.discard()
    await partial?.close().catch(() => undefined)
    throw error
  }
}

/** A place that is open. */
interface Opened {
  readonly place: Place
  readonly handle: VolumeHandle
  /** The same, unless only the root helper may open it. */
  readonly own: FileHandle | undefined
  readonly runner: ProcessRunner
}

async function openHandle(
  name: string,
  place: Place,
  partial: Partial | undefined,
  options: OpenVolumeOptions,
): Promise<Opened> {
  const { runner = createProcessRunner(), signal } = options
  try {
    const own = await openOwn(path.resolve(name), place, partial, options)
    return { place, handle: own, own, runner }
  } catch (error) {
    if (options.asRoot !== true || place.found === undefined || !isForbidden(error)) throw error
    return { place, handle: createRootHandle(place.path, runner, signal), own: undefined, runner }
  }
}

async function chooseMedium(
  name: string,
  { place, handle, own, runner }: Opened,
  options: OpenVolumeOptions & {
    readonly durable: boolean
    readonly imageId: string
    readonly isNew: boolean
    readonly keptBytes: number
  },
): Promise<Medium> {
  const { found } = place
  const { sizeBytes, signal, durable, imageId } = options
  const opened = await handle.stat()
  // Between looking and opening somebody may have put something else there.
  const isSame = found === undefined || (opened.ino === found.ino && opened.dev === found.dev)
  if (!isSame || (!opened.isFile() && !opened.isBlockDevice())) {
    throw new InvalidError({ reason: `${name} was replaced while it was opened` })
  }
  if (opened.isFile()) {
    const isOpenToAll = !options.isNew && options.temporary !== true
    return fileMedium(handle, sizeBytes ?? 0, isOpenToAll, options.keptBytes)
  }
  // The open device itself, whatever its path leads to by now.
  const device = own === undefined ? place.path : `/proc/${process.pid}/fd/${own.fd}`
  const capacity = await blockDeviceSize(device, { runner: options.runner, asRoot: options.asRoot })
  if (sizeBytes !== undefined && sizeBytes > capacity) {
    const reason = `${formatBytes(sizeBytes)} do not fit on ${name}, which has ${formatBytes(capacity)}`
    throw new ImageTooBigError({ imageId, reason })
  }
  return deviceMedium({ handle, own, path: device, capacity, durable, runner, signal })
}

async function look(file: string): Promise<Place> {
  try {
    return await resolvePlace(file)
  } catch (error) {
    throw ImageError.is(error) ? error : accessError(file, error)
  }
}

async function openOwn(
  shown: string,
  { path: file, found }: Place,
  partial: Partial | undefined,
  options: Pick<OpenVolumeOptions, 'imageId' | 'sizeBytes'>,
): Promise<FileHandle> {
  // On a device O_EXCL without O_CREAT is refused while a file system or another volume has it.
  const exclusive = found?.isBlockDevice() === true ? constants.O_EXCL : 0
  const noLink = isHeldPath(file) ? 0 : constants.O_NOFOLLOW
  const flags = constants.O_RDWR | constants.O_NONBLOCK | noLink | exclusive
  try {
    return await (partial === undefined ? open(file, flags) : partial.create())
  } catch (error) {
    await partial?.close().catch(() => undefined)
    const need = { path: shown, neededBytes: options.sizeBytes, imageId: options.imageId }
    throw (await spaceError(error, need)) ?? accessError(shown, error)
  }
}

function isForbidden(error: unknown): boolean {
  const { cause } = error as { readonly cause?: NodeJS.ErrnoException }
  return cause?.code === 'EACCES' || cause?.code === 'EPERM'
}

/** What is wrong about a name; a fault of the system stays what it is. */
function accessError(file: string, error: unknown): unknown {
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
  if (isFaultOfSystem(error)) return error
  return new InvalidError({ reason: `${file} can't be opened: ${message}`, cause: error })
}
