import type { Hash } from 'node:crypto'
import { setImmediate as immediate } from 'node:timers/promises'
import {
  type CallOptions,
  type Checksum,
  type Disk,
  type DiskFormat,
  type DownloadHash,
  InvalidError,
  MiB,
  type Refusal,
} from '@disk-image/core'
import { allocateBuffer, planChecksums } from '@disk-image/io'
import { convertImage } from '../convert/convert-image.ts'
import { imageToVolume } from '../image-to-volume/image-to-volume.ts'
import type { ImageToVolumeOptions, RequestedImage } from '../image-to-volume/request.ts'
import { openJudged } from '../write/open-judged.ts'
import { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { openSource } from '../sources/open-source.ts'
import { observe, silentTelemetry } from '../telemetry/telemetry.ts'
import { ComparingTarget } from './comparing-target.ts'

/** What {@link ImageUtils.verifyVolume} is asked to do. */
export type VerifyVolumeRequest = RequestedImage &
  Pick<
    ImageToVolumeOptions,
    | 'cache'
    | 'checksums'
    | 'connections'
    | 'context'
    | 'decrypt'
    | 'disk'
    | 'imageService'
    | 'onProgress'
    | 'preferStores'
    | 'signal'
    | 'sourceFormat'
    | 'sourcePassphraseFile'
    | 'throttle'
    | 'verify'
  > & {
    /** Absolute path of a file or block device. */
    readonly volume: string
    /** What the volume is: its record's word. @default whatever the inspector finds */
    readonly volumeFormat?: DiskFormat | undefined
  }

/** What {@link ImageUtils.verifyVolume} found. */
export interface VerifyVolumeReport {
  readonly imageId: string
  readonly volume: string
  /** Whether every byte of both disks is the same; behind the shorter one's end the longer one is zero. */
  readonly identical: boolean
  /** The first byte that differs; undefined where none does. */
  readonly differsAt: number | undefined
  /** In qemu-img's terms. */
  readonly volumeFormat: string
  /** Bytes of the volume's disk. */
  readonly volumeBytes: number
  /** Bytes of the image's disk; undefined where the comparison ended before its end. */
  readonly imageBytes: number | undefined
  /** Of the image's stored bytes; undefined where they did not all come, or the source is a local file. */
  readonly hash: DownloadHash | undefined
  readonly warnings: readonly Refusal[]
}

/**
 * Compares the disk on a volume with that of an image, byte by byte, without writing anything. The image is inspected,
 * judged and verified as on its way onto a volume. What is not raw, and not a local file, waits in a temporary file.
 *
 * @throws as {@link ImageUtils.imageToVolume}; a difference is no error
 */
export function verifyVolume(services: Services, request: VerifyVolumeRequest): Promise<VerifyVolumeReport> {
  const { signal } = request
  // The transfer within is no operation of its own: nothing is written by it. The caller hears of its progress.
  const quiet = { ...services, telemetry: silentTelemetry }
  return observe(services, 'verify', { signal }, async (_observed, operation) => {
    const report = await compareVolume(quiet, request)
    operation.note({ volumeFormat: report.volumeFormat, virtualSizeBytes: report.volumeBytes })
    return report
  })
}

function compareVolume(
  services: Services,
  { volume, volumeFormat, ...request }: VerifyVolumeRequest,
): Promise<VerifyVolumeReport> {
  const { signal } = request
  return Cleanup.around(services.logger, async (cleanup) => {
    const there = await openJudged(services, volume, { volumeFormat, isVolume: true, signal }, cleanup)
    const target = new ComparingTarget(there.disk, signal)
    cleanup.always(() => target.abandon())
    const found = await compare(services, request, { volume, target }).catch((error: unknown) => {
      if (target.differsAt === undefined) throw error
      return undefined
    })
    const { source } = request
    const name = typeof source === 'string' ? source : source?.stored.name
    return {
      imageId: request.imageId ?? name ?? '',
      volume,
      identical: target.differsAt === undefined,
      differsAt: target.differsAt,
      volumeFormat: there.format,
      volumeBytes: there.disk.size,
      imageBytes: target.sizeBytes,
      hash: found?.hash,
      warnings: found?.warnings ?? [],
    }
  })
}

async function compare(
  services: Services,
  request: Omit<VerifyVolumeRequest, 'volume' | 'volumeFormat'>,
  { volume, target }: { readonly volume: string; readonly target: ComparingTarget },
): Promise<Pick<VerifyVolumeReport, 'hash' | 'warnings'>> {
  const { imageId, source: word, sourceFormat, signal, context, imageService } = request
  await using source =
    typeof word === 'string'
      ? await openSource(services, word, { diskFormat: sourceFormat, signal, context, imageService })
      : undefined
  const isPlain = source?.kind === 'file' && source.containerFormat === undefined
  if (isPlain && (request.checksums ?? []).length === 0) {
    // Read where it is.
    await convertImage(services, source.name, volume, 'raw', {
      srcFormat: sourceFormat,
      srcPassphraseFile: request.sourcePassphraseFile,
      decrypt: request.decrypt,
      imageId: imageId ?? source.name,
      runAsRoot: false,
      target,
      signal,
      onProgress: request.onProgress,
    })
    return { hash: undefined, warnings: [] }
  }
  const image = source ?? (typeof word === 'string' ? undefined : word)
  const named = image === undefined ? { imageId: imageId ?? '' } : { imageId, source: image }
  return await imageToVolume(services, { ...request, ...named, volume, target })
}

/** What {@link ImageUtils.verifyVolumeChecksums} is asked to do. */
export interface VerifyVolumeChecksumsRequest extends CallOptions {
  /** Absolute path of a file or block device. */
  readonly volume: string
  /** What the volume is: its record's word. @default whatever the inspector finds */
  readonly volumeFormat?: DiskFormat | undefined
  /** What the disk's content must be. */
  readonly checksums: readonly Checksum[]
  /** Bytes from the disk's start that are hashed. @default all of it */
  readonly sizeBytes?: number | undefined
}

/** What {@link ImageUtils.verifyVolumeChecksums} found. */
export interface VerifyVolumeChecksumsReport {
  readonly volume: string
  readonly identical: boolean
  /** In qemu-img's terms. */
  readonly volumeFormat: string
  /** Bytes that were hashed. */
  readonly sizeBytes: number
  /** What the disk has, in the order of those that were given. */
  readonly found: readonly Checksum[]
}

/** Compares the content of a disk, whatever format it is kept in, with checksums. */
export function verifyVolumeChecksums(
  services: Services,
  request: VerifyVolumeChecksumsRequest,
): Promise<VerifyVolumeChecksumsReport> {
  return observe(services, 'verify', request, async (observed, operation) =>
    Cleanup.around(services.logger, async (cleanup) => {
      const { volume, volumeFormat, checksums, signal } = observed
      const plans = planChecksums(checksums)
      if (plans.length === 0) throw new InvalidError({ reason: 'A checksum to compare with is needed.' })
      const { disk, format } = await openJudged(
        services,
        volume,
        { volumeFormat, isVolume: true, signal },
        cleanup,
      )
      const { sizeBytes = disk.size } = observed
      if (!(sizeBytes <= disk.size)) {
        throw new InvalidError({ reason: `${volume} has ${disk.size} bytes, not ${sizeBytes}.` })
      }
      operation.expect(volume, 1)
      // Loaded where it is wanted: no other call hashes here.
      const { createHash } = await import('node:crypto')
      const hashes = plans.map(({ nodeAlgorithm }) => createHash(nodeAlgorithm))
      await hashDisk(disk, sizeBytes, hashes, observed)
      const values = hashes.map((hash) => hash.digest('hex'))
      return {
        volume,
        identical: plans.every(({ expected }, index) => expected === values[index]),
        volumeFormat: format,
        sizeBytes,
        found: plans.map(({ algorithm }, index) => ({ algorithm, value: values[index] ?? '' })),
      }
    }),
  )
}

async function hashDisk(
  disk: Disk,
  sizeBytes: number,
  hashes: readonly Hash[],
  { signal, onProgress }: CallOptions,
): Promise<void> {
  const zeros = allocateBuffer(MiB)
  const take = (offset: number, bytes: Uint8Array): void => {
    const wanted = bytes.subarray(0, Math.max(0, sizeBytes - offset))
    for (const hash of hashes) hash.update(wanted)
  }
  const zero = async (offset: number, length: number): Promise<void> => {
    for (let at = 0; at < length; at += MiB) {
      take(offset + at, zeros.subarray(0, length - at))
      // A hole may be long: who cancels must be heard.
      if (at % (64 * MiB) === 0) await immediate()
      signal?.throwIfAborted()
    }
  }
  await disk.copyTo({ data: take, zero }, { signal, onProgress })
}
