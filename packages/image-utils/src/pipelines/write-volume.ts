import { stat } from 'node:fs/promises'
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
import { SparseSink } from '../sinks/sparse-sink.ts'
import { readFileInChunks } from '../sources/file-chunks.ts'
import { guardDestination } from './destination.ts'
import type { Job } from './job.ts'

/** A disk in a file, of known format. */
export interface DiskFile {
  readonly path: string
  /** A chain of VHDs instead, leaf first. */
  readonly chain?: readonly string[] | undefined
  /** In qemu-img's terms. */
  readonly format: string
  readonly virtualSizeBytes: number
}

/** Puts a verified disk onto the volume, and says how many bytes it took there. */
export async function writeVolume(
  toolbox: Toolbox,
  job: Job,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  if (disk.format === 'vpc') return writeVhd(toolbox, job, disk, cleanup)
  if (disk.format === 'raw' && job.volumeFormat === 'raw' && !job.throughHelper) {
    return copyRaw(toolbox, job, disk)
  }
  return convertDisk(toolbox, job, disk, cleanup)
}

/** Raw to raw, holes kept, with neither a process nor qemu-img. */
async function copyRaw(toolbox: Toolbox, job: Job, disk: DiskFile): Promise<number> {
  const { size } = await stat(disk.path)
  const volume = await openVolume(job.request.volume, { sizeBytes: size, ...volumeOptions(toolbox, job) })
  try {
    const sink = new SparseSink(volume, { sparse: job.request.disableSparse !== true })
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
 * A VHD is read by our own reader: its size is the footer's, not what its geometry comes to, and its sector
 * bitmaps count. For another format than raw it is laid out as raw first.
 */
async function writeVhd(toolbox: Toolbox, job: Job, disk: DiskFile, cleanup: Cleanup): Promise<number> {
  if (job.volumeFormat !== 'raw' || job.throughHelper) {
    const raw = await toolbox.temporaryFiles.file({ prefix: `image_raw_${job.imageId}_` })
    cleanup.always(() => raw[Symbol.asyncDispose]())
    await flattenVhd(toolbox, job, disk, raw.path)
    return convertDisk(toolbox, job, { ...disk, path: raw.path, format: 'raw' }, cleanup)
  }
  return flattenVhd(toolbox, job, disk, job.request.volume)
}

async function flattenVhd(toolbox: Toolbox, job: Job, disk: DiskFile, destination: string): Promise<number> {
  // The archive's file names say who belongs to whom, whatever the disks themselves note.
  const chain = await openVhdChain(disk.chain ?? [disk.path], { checkParentIds: disk.chain === undefined })
  try {
    const volume = await openVolume(destination, { sizeBytes: chain.size, ...volumeOptions(toolbox, job) })
    try {
      const sparse = job.request.disableSparse !== true
      let written = 0
      await chain.copyTo(
        {
          data: async (offset, bytes) => {
            written += bytes.length
            await volume.write(bytes, offset)
          },
          zero: async (offset, length) => {
            if (sparse) return volume.skip(offset, length)
            written += length
            return writeZeroes(volume, offset, length)
          },
        },
        { signal: job.call.signal, onProgress: job.call.onProgress },
      )
      await volume.finish(chain.size)
      return written
    } finally {
      await volume.close()
    }
  } finally {
    await chain.close()
  }
}

/** What every volume is opened with. */
export function volumeOptions(toolbox: Toolbox, job: Job): OpenVolumeOptions {
  return { imageId: job.imageId, runner: toolbox.runner, signal: job.call.signal }
}

async function writeZeroes(
  volume: { write(chunk: Uint8Array, offset: number): Promise<void> },
  offset: number,
  length: number,
): Promise<void> {
  const zeroes = new Uint8Array(Math.min(length, 1024 * 1024))
  for (let done = 0; done < length; done += zeroes.length) {
    await volume.write(zeroes.subarray(0, Math.min(zeroes.length, length - done)), offset + done)
  }
}

/** Everything else: qemu-img, told both formats. */
async function convertDisk(toolbox: Toolbox, job: Job, disk: DiskFile, cleanup: Cleanup): Promise<number> {
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
        subformat: request.volumeSubformat,
        // Exactly the disk's size, not the next one that a disk geometry has.
        forceSize: job.volumeFormat === 'vpc',
        passphraseFile: encrypt ? request.passphraseFile : undefined,
        cipher: encrypt ? request.cipherSpec : undefined,
        keyDerivationMs: encrypt ? request.keyDerivationMs : undefined,
      },
      virtualSizeBytes: disk.virtualSizeBytes,
      sparse: request.disableSparse !== true,
      directIo: device && (await supportsDirectIo(request.volume)),
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
  if (device) return disk.virtualSizeBytes
  const { blocks } = await stat(request.volume)
  return blocks * 512
}
