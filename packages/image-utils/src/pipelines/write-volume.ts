import { stat } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'
import { openVhdx } from '@disk-image/disk'
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
import { Pace } from '../sinks/pace.ts'
import { SparseSink } from '../sinks/sparse-sink.ts'
import { readFileInChunks } from '../sources/file-chunks.ts'
import { withFileReader } from '../sources/file-reader.ts'
import { guardDestination } from './destination.ts'
import { isReadByUs } from '../operations/drivers.ts'
import type { Job } from './job.ts'
import type { ImageToVolumeRequest } from './request.ts'
import { checkSameSize } from './same-size.ts'

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
  'imageId' | 'volumeFormat' | 'throttle' | 'throughTool' | 'call'
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
 * qemu-img never reads a VHD or a VHDX. The size of a VHD is its footer's, not what its geometry comes to, and its
 * sector bitmaps count; of a large VHDX with little in it, qemu-img reads every byte.
 */
export function putDisk(toolbox: Toolbox, job: WriteJob, disk: DiskFile, cleanup: Cleanup): Promise<number> {
  return isReadByUs(disk.format)
    ? flattenFirst(toolbox, job, disk, cleanup)
    : convertDisk(toolbox, job, disk, cleanup)
}

/** Raw to raw, holes kept, with neither a process nor qemu-img. */
async function copyRaw(toolbox: Toolbox, job: WriteJob, disk: DiskFile): Promise<number> {
  const { size } = await stat(disk.path)
  const volume = await openVolume(job.request.volume, { sizeBytes: size, ...volumeOptions(toolbox, job) })
  try {
    const sink = new SparseSink(volume, { sparse: job.request.disableSparse !== true, pace: paceOf(job) })
    for await (const chunk of readFileInChunks(disk.path, { signal: job.call.signal })) {
      await sink.write(chunk)
      job.call.onProgress?.({ stage: 'write', completed: sink.offset, total: size, unit: 'bytes' })
    }
    await volume.finish(Math.ceil(size / 512) * 512)
    return sink.written
  } finally {
    await volume.close()
  }
}

/**
 * A VHD or VHDX, read by our own reader. For another format than raw it is laid out as raw first, in a file of
 * holes.
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
  const raw = await toolbox.temporaryFiles.file({ prefix: `image_raw_${job.imageId}_` })
  cleanup.always(() => raw[Symbol.asyncDispose]())
  await flatten(job, disk, {
    path: raw.path,
    sparse: true,
    ...volumeOptions(toolbox, job),
    temporary: true,
  })
  return convertDisk(toolbox, job, { ...disk, path: raw.path, reader: undefined, format: 'raw' }, cleanup)
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
    const sink = new SparseSink(volume, { sparse, pace: paceOf(job) })
    await copyDisk(job, disk, sink)
    checkSameSize(job.imageId, sink.offset, disk.virtualSizeBytes)
    await volume.finish(sink.offset)
    return sink.written
  } finally {
    await volume.close()
  }
}

/** Puts the disk of a VHD, of a chain of them, or of a VHDX into a sink, from its start to its end. */
async function copyDisk(job: WriteJob, disk: DiskFile, sink: SparseSink): Promise<void> {
  const receiver = {
    data: (_offset: number, bytes: Uint8Array) => sink.write(bytes),
    zero: (_offset: number, length: number) => sink.skip(length),
  }
  if (disk.format === 'vhdx') {
    const copy = async (reader: RandomAccessReader): Promise<void> => {
      await using opened = await openVhdx(reader)
      await opened.copyTo(receiver, job.call)
    }
    await (disk.reader === undefined ? withFileReader(disk.path, copy) : copy(disk.reader))
    return
  }
  // The archive's file names say who belongs to whom, whatever the disks themselves note.
  const chain = await openVhdChain(disk.chain ?? [disk.reader ?? disk.path], {
    checkParentIds: disk.chain === undefined,
  })
  try {
    await chain.copyTo(receiver, job.call)
  } finally {
    await chain.close()
  }
}

/** What every volume is opened with. */
export function volumeOptions(toolbox: Toolbox, job: WriteJob): OpenVolumeOptions {
  const { imageId, request, call } = job
  return { imageId, runner: toolbox.runner, signal: call.signal, durable: request.durable }
}

/** Keeps to the rate that the throttle asks for, where nothing but this process writes. */
export function paceOf(job: WriteJob): Pace | undefined {
  const { rateBytesPerSecond } = job.throttle
  return rateBytesPerSecond === undefined ? undefined : new Pace(rateBytesPerSecond, job.call.signal)
}

/** Everything else: qemu-img, told both formats. */
async function convertDisk(
  toolbox: Toolbox,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  const { request, call, throttle } = job
  await guardDestination(request.volume, cleanup)
  const device = await isBlockDevice(request.volume)
  const encrypt = job.volumeFormat === 'luks'
  try {
    await toolbox.qemuImg.convert({
      source: {
        path: disk.path,
        // An encrypted container is carried as raw bytes, until its passphrase is there.
        format: request.sourcePassphraseFile !== undefined && disk.format === 'raw' ? 'luks' : disk.format,
        passphraseFile: request.sourcePassphraseFile,
      },
      destination: {
        path: request.volume,
        format: job.volumeFormat,
        subformat: request.volumeSubformat === '' ? undefined : request.volumeSubformat,
        // Exactly the disk's size, not the next one that a disk geometry has.
        forceSize: job.volumeFormat === 'vpc',
        passphraseFile: encrypt ? request.passphraseFile : undefined,
        cipher: encrypt ? request.cipherSpec : undefined,
        keyDerivationMs: encrypt ? request.keyDerivationMs : undefined,
        compression: job.volumeFormat === 'qcow2' ? (job.compression ?? 'none') : 'none',
      },
      virtualSizeBytes: disk.virtualSizeBytes,
      sparse: request.disableSparse !== true,
      directIo: device && (await supportsDirectIo(request.volume)),
      cacheMode: request.durable === false && !device ? 'unsafe' : undefined,
      throttlePrefix: throttle.prefix,
      rateLimitBytesPerSecond: throttle.rateBytesPerSecond,
      asRoot: request.runAsRoot ?? false,
      signal: call.signal,
      onProgress: call.onProgress,
    })
  } catch (error) {
    const need = { path: request.volume, imageId: job.imageId, neededBytes: disk.virtualSizeBytes }
    throw (await spaceError(error, need)) ?? error
  }
  if (device) return disk.virtualSizeBytes ?? 0
  const { blocks } = await stat(request.volume)
  return blocks * 512
}
