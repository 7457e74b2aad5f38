import { stat, truncate } from 'node:fs/promises'
import type { Disk, RandomAccessReader } from '@disk-image/core'
import { openDisk, type ReadableFormat } from '@disk-image/disk'
import {
  isBlockDevice,
  openVolume,
  type OpenVolumeOptions,
  spaceError,
  supportsDirectIo,
} from '@disk-image/host'
import { openVhdChain } from '@disk-image/vhd'
import type { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import { RateLimiter } from '@disk-image/io'
import { SparseSink } from '../sinks/sparse-sink.ts'
import { readFileInChunks } from '../sources/file-chunks.ts'
import { withFileReader } from '../sources/file-reader.ts'
import { isReadByUs } from '../operations/drivers.ts'
import type { Job } from './job.ts'
import type { ImageToVolumeRequest } from './request.ts'
import { checkSameSize } from './same-size.ts'
import { type ToolRun, writeThroughTool } from './write-through-tool.ts'

/** A disk in a file, of known format. */
export interface DiskFile {
  readonly path: string
  /** The same, open, where it was judged through this handle. */
  readonly reader?: RandomAccessReader | undefined
  /** A chain of VHDs instead, leaf first. */
  readonly chain?: readonly string[] | undefined
  /** In qemu-img's terms. */
  readonly format: string
  /** Undefined where only the key tells. */
  readonly virtualSizeBytes: number | undefined
}

/** What says how a disk is written, whether it came from an image service or from a file. */
export interface WriteJob extends Pick<
  Job,
  'imageId' | 'volumeFormat' | 'throttle' | 'throughHelper' | 'throughTool' | 'fileLengthBytes' | 'call'
> {
  readonly request: Pick<
    ImageToVolumeRequest,
    | 'volume'
    | 'volumeSubformat'
    | 'disableSparse'
    | 'durable'
    | 'passphraseFile'
    | 'cipherSpec'
    | 'keyDerivationMs'
    | 'sourcePassphraseFile'
    | 'runAsRoot'
  >
  /** The last look before what was written becomes whole. */
  readonly confirm?: (() => Promise<void>) | undefined
  /** For what is read next and then removed. @default false */
  readonly temporary?: boolean | undefined
  /** Of a qcow2 that is written. @default 'none' */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
}

/** Puts a verified disk onto the volume, and says how many bytes it took there. */
export async function writeVolume(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  if (disk.format === 'raw' && job.volumeFormat === 'raw' && !job.throughTool) {
    return copyRaw(toolbox, job, disk)
  }
  return putDisk(toolbox, job, disk, cleanup)
}

/**
 * The one way from a judged disk file onto a destination: a fetch's second half, a conversion, what an upload sends.
 *
 * What {@link isReadByUs} is never read by qemu-img: one parse says what the disk is and where it lies, and no second
 * one can see another disk.
 */
export async function putDisk(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  if (isReadByUs(disk.format)) return flattenFirst(toolbox, job, disk, cleanup)
  return (await isEnlarged(job, disk))
    ? enlargeFirst(toolbox, job, disk, cleanup)
    : convertDisk(toolbox, job, disk)
}

/** Whether a file shall have a larger disk than the image. What stays encrypted is as large as it is. */
async function isEnlarged(job: WriteJob, { virtualSizeBytes }: DiskFile): Promise<boolean> {
  if (virtualSizeBytes === undefined || job.fileLengthBytes <= virtualSizeBytes) return false
  return job.request.sourcePassphraseFile === undefined && !(await isBlockDevice(job.request.volume))
}

/** Few formats can be made larger afterwards: the disk is laid out as raw, in a file of holes, and then written. */
async function enlargeFirst(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  const raw = await toolbox.temporaryFiles.file({ prefix: `image_raw_${job.imageId}_` })
  cleanup.always(() => raw[Symbol.asyncDispose]())
  const { imageId, throttle, call } = job
  const first: WriteJob = {
    imageId,
    throttle,
    call,
    request: { volume: raw.path },
    temporary: true,
    volumeFormat: 'raw',
    throughHelper: false,
    throughTool: false,
    fileLengthBytes: 0,
  }
  await writeVolume(toolbox, first, disk, cleanup)
  await truncate(raw.path, job.fileLengthBytes)
  const larger: DiskFile = { path: raw.path, format: 'raw', virtualSizeBytes: job.fileLengthBytes }
  return writeVolume(toolbox, job, larger, cleanup)
}

/** Raw to raw, holes kept, with neither a process nor qemu-img. */
async function copyRaw(toolbox: Toolbox, job: WriteJob, disk: DiskFile): Promise<number> {
  const { size } = await stat(disk.path)
  const volume = await openVolume(job.request.volume, { sizeBytes: size, ...volumeOptions(toolbox, job) })
  try {
    const sink = new SparseSink(volume, {
      sparse: job.request.disableSparse !== true,
      rateLimiter: rateLimiterOf(job),
    })
    for await (const chunk of readFileInChunks(disk.path, { signal: job.call.signal })) {
      await sink.write(chunk)
      job.call.onProgress?.({ stage: 'write', completed: sink.offset, total: size, unit: 'bytes' })
    }
    await job.confirm?.()
    await volume.commit(Math.ceil(size / 512) * 512)
    return sink.written
  } finally {
    await volume.close()
  }
}

/**
 * A disk that our own readers read. For another format than raw it is laid out as raw first, in a file of holes.
 */
async function flattenFirst(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  if (job.volumeFormat === 'raw' && !job.throughTool) {
    return flatten(job, disk, {
      path: job.request.volume,
      sparse: job.request.disableSparse !== true,
      ...volumeOptions(toolbox, job),
    })
  }
  const raw = await toolbox.temporaryFiles.file({ prefix: 'image_raw_' })
  cleanup.always(() => raw[Symbol.asyncDispose]())
  await flatten(job, disk, {
    path: raw.path,
    sparse: true,
    ...volumeOptions(toolbox, job),
    temporary: true,
  })
  const virtualSizeBytes = (await stat(raw.path)).size
  return convertDisk(toolbox, job, { path: raw.path, format: 'raw', virtualSizeBytes })
}

interface FlatTarget extends OpenVolumeOptions {
  readonly path: string
  readonly sparse: boolean
}

async function flatten(
  job: WriteJob,
  disk: DiskFile,
  { path, sparse, ...options }: FlatTarget,
): Promise<number> {
  const volume = await openVolume(path, { ...options, sizeBytes: disk.virtualSizeBytes })
  try {
    const sink = new SparseSink(volume, { sparse, rateLimiter: rateLimiterOf(job) })
    await copyDisk(job, disk, sink)
    checkSameSize(job.imageId, sink.offset, disk.virtualSizeBytes)
    await job.confirm?.()
    await volume.commit(Math.ceil(sink.offset / 512) * 512)
    return sink.written
  } finally {
    await volume.close()
  }
}

/** Puts a disk that is read by us into a sink, from its start to its end. */
async function copyDisk(job: WriteJob, disk: DiskFile, sink: SparseSink): Promise<void> {
  const receiver = {
    data: (_offset: number, bytes: Uint8Array) => sink.write(bytes),
    zero: (_offset: number, length: number) => sink.skip(length),
  }
  const copy = async (opening: Promise<Disk>): Promise<void> => {
    await using opened = await opening
    await opened.copyTo(receiver, job.call)
  }
  // The archive's file names say who belongs to whom, whatever the disks themselves note.
  if (disk.chain !== undefined) return copy(openVhdChain(disk.chain, { checkParentIds: false }))
  const format = disk.format as ReadableFormat
  if (disk.reader !== undefined) return copy(openDisk(disk.reader, format))
  return withFileReader(disk.path, (reader) => copy(openDisk(reader, format)))
}

/** What every volume is opened with. */
export function volumeOptions(toolbox: Toolbox, job: WriteJob): OpenVolumeOptions {
  const { imageId, request, call, fileLengthBytes, temporary } = job
  const { durable } = request
  return { imageId, runner: toolbox.runner, signal: call.signal, durable, fileLengthBytes, temporary }
}

/** Keeps to the rate that the throttle asks for, where nothing but this process writes. */
export function rateLimiterOf(job: WriteJob): RateLimiter | undefined {
  const { rateBytesPerSecond } = job.throttle
  return rateBytesPerSecond === undefined ? undefined : new RateLimiter(rateBytesPerSecond, job.call.signal)
}

/** Everything else: qemu-img, told both formats. */
async function convertDisk(toolbox: Toolbox, job: WriteJob, disk: DiskFile): Promise<number> {
  const { request, call, imageId, volumeFormat: format } = job
  const { durable } = request
  const run = (step: ToolRun): Promise<void> => runQemuImg(toolbox, job, disk, step)
  try {
    if (job.temporary === true) {
      await run({ path: request.volume, into: 'temporary' })
      return (await stat(request.volume)).blocks * 512
    }
    const target = { ...call, path: request.volume, imageId, format, durable }
    const { throughHelper, throughTool, confirm } = job
    const { virtualSizeBytes } = disk
    const all = { ...target, virtualSizeBytes, throughHelper, throughTool, confirm }
    return await writeThroughTool(toolbox, all, run)
  } catch (error) {
    const need = { path: request.volume, imageId, neededBytes: disk.virtualSizeBytes }
    throw (await spaceError(error, need)) ?? error
  }
}

async function runQemuImg(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  { path, source, range, into, isZero }: ToolRun,
): Promise<void> {
  const { request, call, throttle } = job
  const encrypt = job.volumeFormat === 'luks'
  const isWhole = range === undefined
  const device = await isBlockDevice(path)
  const read = {
    path: disk.path,
    // An encrypted container is carried as raw bytes, until its passphrase is there.
    format: request.sourcePassphraseFile !== undefined && disk.format === 'raw' ? 'luks' : disk.format,
    passphraseFile: request.sourcePassphraseFile,
  }
  const made = {
    path,
    format: job.volumeFormat,
    subformat: request.volumeSubformat === '' ? undefined : request.volumeSubformat,
    // Exactly the disk's size, not the next one that a disk geometry has.
    forceSize: job.volumeFormat === 'vpc',
    passphraseFile: encrypt ? request.passphraseFile : undefined,
    cipher: encrypt ? request.cipherSpec : undefined,
    keyDerivationMs: encrypt ? request.keyDerivationMs : undefined,
    compression: job.volumeFormat === 'qcow2' ? (job.compression ?? 'none') : 'none',
  }
  const isLeftToCache = into === 'temporary' || (request.durable === false && !device)
  await toolbox.qemuImg.convert({
    source: { ...(source === undefined ? read : { path: source, format: 'raw' }), range },
    destination: isWhole ? made : { path, format: 'raw' },
    ...(into === 'part' ? { noCreate: true, destinationRange: range, targetIsZero: isZero } : {}),
    virtualSizeBytes: disk.virtualSizeBytes,
    sparse: request.disableSparse !== true,
    directIo: device && (await supportsDirectIo(path)),
    cacheMode: isLeftToCache ? 'unsafe' : undefined,
    throttlePrefix: throttle.prefix,
    rateLimitBytesPerSecond: throttle.rateBytesPerSecond,
    asRoot: request.runAsRoot ?? false,
    signal: call.signal,
    // The ends are too short to tell of.
    onProgress: isWhole || into === 'part' ? call.onProgress : undefined,
  })
}
