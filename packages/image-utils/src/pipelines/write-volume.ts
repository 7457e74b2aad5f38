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
import type { Route } from '../route.ts'
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
  /** What is inside, where that is open already. */
  readonly disk?: Disk | undefined
  /** In qemu-img's terms. */
  readonly format: string
  /** Undefined where only the key tells. */
  readonly virtualSizeBytes: number | undefined
}

/** What says how a disk is written, whether it came from an image service or from a file. */
export interface WriteJob extends Pick<Job, 'imageId' | 'target' | 'throttle' | 'needsRoot' | 'call'> {
  readonly route: Pick<Route, 'kind'>
  readonly request: Pick<
    ImageToVolumeRequest,
    | 'volume'
    | 'volumeSubformat'
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

/**
 * The one way from a judged disk file onto a target: a fetch's second half, a conversion, what an upload sends.
 *
 * @returns the bytes that it takes there
 */
export async function writeDisk(
  services: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  const { volume } = job.request
  switch (job.route.kind) {
    case 'read':
      return readOnto(services, job, disk, { path: volume, sparse: !job.target.writesZeros })
    case 'lay-out': {
      const raw = await makeTemporary(services, job, cleanup)
      await readOnto(services, job, disk, { path: raw, sparse: true, temporary: true })
      return convertDisk(services, job, await rawDisk(raw))
    }
    case 'convert':
    default: {
      const { lengthBytes } = job.target
      if (disk.virtualSizeBytes === undefined || lengthBytes <= disk.virtualSizeBytes) {
        return convertDisk(services, job, disk)
      }
      const raw = await makeTemporary(services, job, cleanup)
      const target = { ...job.target, format: 'raw', lengthBytes: 0 }
      await convertDisk(services, { ...job, target, request: { volume: raw }, temporary: true }, disk)
      await truncate(raw, lengthBytes)
      return convertDisk(services, job, await rawDisk(raw))
    }
  }
}

async function makeTemporary(services: Toolbox, { imageId }: WriteJob, cleanup: Cleanup): Promise<string> {
  const raw = await services.temporaryFiles.file({ prefix: `image_raw_${imageId}_` })
  cleanup.always(() => raw[Symbol.asyncDispose]())
  return raw.path
}

async function rawDisk(path: string): Promise<DiskFile> {
  return { path, format: 'raw', virtualSizeBytes: (await stat(path)).size }
}

interface RawTarget {
  readonly path: string
  readonly sparse: boolean
  readonly temporary?: boolean
}

/** A disk onto a raw target, with neither a process nor qemu-img. */
async function readOnto(
  services: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  { path, sparse, temporary }: RawTarget,
): Promise<number> {
  const isRaw = disk.format === 'raw'
  const sizeBytes = isRaw ? (await stat(disk.path)).size : disk.virtualSizeBytes
  const options = volumeOptions(services, job)
  const volume = await openVolume(path, { ...options, sizeBytes, temporary: temporary ?? options.temporary })
  try {
    const sink = new SparseSink(volume, { sparse, rateLimiter: rateLimiterOf(job) })
    await (isRaw ? copyRaw(job, disk.path, sizeBytes, sink) : copyDisk(job, disk, sink))
    checkSameSize(job.imageId, sink.offset, sizeBytes)
    await job.confirm?.()
    await volume.commit(Math.ceil(sink.offset / 512) * 512)
    return sink.written
  } finally {
    await volume.close()
  }
}

async function copyRaw(
  { call }: WriteJob,
  file: string,
  total: number | undefined,
  sink: SparseSink,
): Promise<void> {
  for await (const chunk of readFileInChunks(file, { signal: call.signal })) {
    await sink.write(chunk)
    call.onProgress?.({ stage: 'write', completed: sink.offset, total, unit: 'bytes' })
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
  if (disk.disk !== undefined) return disk.disk.copyTo(receiver, job.call)
  // The archive's file names say who belongs to whom, whatever the disks themselves note.
  if (disk.chain !== undefined) return copy(openVhdChain(disk.chain, { checkParentIds: false }))
  const format = disk.format as ReadableFormat
  if (disk.reader !== undefined) return copy(openDisk(disk.reader, format))
  return withFileReader(disk.path, (reader) => copy(openDisk(reader, format)))
}

/** What every volume is opened with. */
export function volumeOptions(
  toolbox: Toolbox,
  job: Pick<WriteJob, 'imageId' | 'request' | 'call' | 'target' | 'temporary'>,
): OpenVolumeOptions {
  const { imageId, request, call, target, temporary } = job
  const { durable } = request
  const { lengthBytes: fileLengthBytes } = target
  return { imageId, runner: toolbox.runner, signal: call.signal, durable, fileLengthBytes, temporary }
}

/** Keeps to the rate that the throttle asks for, where nothing but this process writes. */
export function rateLimiterOf(job: Pick<WriteJob, 'throttle' | 'call'>): RateLimiter | undefined {
  const { rateBytesPerSecond } = job.throttle
  return rateBytesPerSecond === undefined ? undefined : new RateLimiter(rateBytesPerSecond, job.call.signal)
}

/** Everything else: qemu-img, told both formats. */
async function convertDisk(toolbox: Toolbox, job: WriteJob, disk: DiskFile): Promise<number> {
  const { request, call, imageId, confirm, needsRoot } = job
  const { format, needsTool } = job.target
  const { durable } = request
  const run = (step: ToolRun): Promise<void> => runQemuImg(toolbox, job, disk, step)
  try {
    if (job.temporary === true) {
      await run({ path: request.volume, into: 'temporary' })
      return (await stat(request.volume)).blocks * 512
    }
    const target = { ...call, path: request.volume, imageId, format, durable }
    const { virtualSizeBytes } = disk
    const all = { ...target, virtualSizeBytes, needsRoot, needsTool, confirm }
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
  const { request, call, throttle, target } = job
  const encrypt = target.format === 'luks'
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
    format: target.format,
    subformat: request.volumeSubformat === '' ? undefined : request.volumeSubformat,
    // Exactly the disk's size, not the next one that a disk geometry has.
    forceSize: target.format === 'vpc',
    passphraseFile: encrypt ? request.passphraseFile : undefined,
    cipher: encrypt ? request.cipherSpec : undefined,
    keyDerivationMs: encrypt ? request.keyDerivationMs : undefined,
    compression: target.format === 'qcow2' ? (job.compression ?? 'none') : 'none',
  }
  const isLeftToCache = into === 'temporary' || (request.durable === false && !device)
  await toolbox.qemuImg.convert({
    source: { ...(source === undefined ? read : { path: source, format: 'raw' }), range },
    destination: isWhole ? made : { path, format: 'raw' },
    ...(into === 'part' ? { noCreate: true, destinationRange: range, targetIsZero: isZero } : {}),
    virtualSizeBytes: disk.virtualSizeBytes,
    sparse: !target.writesZeros,
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
