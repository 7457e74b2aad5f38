import { type CallOptions, type DiskFormat, InvalidError, type Target } from '@disk-image/core'
import { encodeOva, type OvaMachine } from '@disk-image/disk'
import { checkUnchanged } from '../files/file-reader.ts'
import { type JudgedVolume, named, openJudged } from '../write/open-judged.ts'
import { Cleanup } from '../services/cleanup.ts'
import type { Services, Throttle } from '../services/services.ts'
import { observe, Stopwatch } from '../telemetry/telemetry.ts'
import { checkDestination } from '../write/check-target.ts'
import { identifyDestination } from '../write/destination-identity.ts'
import { writeEncoded } from '../write/write-disk.ts'

/** What {@link ImageUtils.volumesToArchive} is asked to do. */
export interface VolumesToArchiveRequest extends CallOptions {
  /** In the order in which the machine has them. */
  readonly disks: readonly {
    /** Path of a file or block device. */
    readonly volume: string
    /** What the volume is: its record's word, never a guess. */
    readonly volumeFormat: DiskFormat
    /** Its file's name in the archive, which ends with `.vmdk`. @default disk1.vmdk, disk2.vmdk … */
    readonly name?: string | undefined
  }[]
  /** By an image's properties: `machineOfProperties`. */
  readonly machine: OvaMachine
  /** Absolute path of a file, made when missing; with a `target` what it is called in errors and in the report. */
  readonly destination: string
  /** What takes the archive in place of a file, from its start to its end: each disk is compressed twice then. */
  readonly target?: Target | undefined
  /** False for what needn't outlive a power cut. @default true */
  readonly durable?: boolean | undefined
  /** @default the facade's */
  readonly throttle?: Throttle | undefined
}

/** What {@link ImageUtils.volumesToArchive} did. */
export interface VolumesToArchiveReport {
  readonly destination: string
  readonly bytesWritten: number
  readonly disks: readonly {
    readonly volume: string
    readonly name: string
    /** In qemu-img's terms. */
    readonly format: string
    readonly virtualSizeBytes: number
  }[]
}

/**
 * Disks as an OVA, each a streamOptimized VMDK. Each is inspected and judged as what it is said to be, and looked at
 * once more before the archive is complete.
 *
 * @throws {ImageUnacceptableError} where a disk is something else, not acceptable, or was changed meanwhile
 * @throws {InvalidError} for a machine that an OVA can't have, and for a destination that is one of the disks
 */
export function volumesToArchive(
  services: Services,
  request: VolumesToArchiveRequest,
): Promise<VolumesToArchiveReport> {
  return observe(services, 'convert', request, async (observed, operation) => {
    const stopwatch = new Stopwatch(services.clock, operation)
    stopwatch.expect(request.destination, 1)
    const report = await stopwatch.time('convert', () => pack(services, observed))
    operation.note({ volumeFormat: 'ova', bytesWritten: report.bytesWritten })
    return report
  })
}

async function pack(services: Services, request: VolumesToArchiveRequest): Promise<VolumesToArchiveReport> {
  const { destination, target, machine, durable, signal, onProgress } = request
  signal?.throwIfAborted()
  if (target === undefined) await checkDestination(destination)
  return Cleanup.around(services.logger, async (cleanup) => {
    const disks: OpenedVolume[] = []
    for (const [index, disk] of request.disks.entries()) {
      disks.push(await openVolumeDisk(services, request, { name: `disk${index + 1}.vmdk`, ...disk }, cleanup))
    }
    const confirm = async (): Promise<void> => {
      for (const { held, judged } of disks) {
        await named(held, () => checkUnchanged(held, judged, held.name))
      }
    }
    const archive = await encodeOva({ machine, disks }, { signal, workers: services.encodeWorkers })
    const bytesWritten = await writeEncoded(
      services,
      {
        imageId: destination,
        target: { lengthBytes: 0 },
        throttle: request.throttle ?? services.throttle,
        call: { signal, onProgress },
        request: { volume: destination, target, durable },
        confirm,
      },
      archive,
    )
    return {
      destination,
      bytesWritten,
      disks: disks.map(({ held, name, format, disk }) => {
        return { volume: held.name, name, format, virtualSizeBytes: disk.size }
      }),
    }
  })
}

interface OpenedVolume extends JudgedVolume {
  readonly name: string
}

async function openVolumeDisk(
  services: Services,
  { destination, target, signal }: VolumesToArchiveRequest,
  { volume, volumeFormat, name = '' }: VolumesToArchiveRequest['disks'][number],
  cleanup: Cleanup,
): Promise<OpenedVolume> {
  const opened = await openJudged(services, volume, { volumeFormat, signal }, cleanup)
  if (target === undefined && (await isSame(destination, opened.held.path))) {
    throw new InvalidError({ reason: `${volume} can't become the archive that it goes into.` })
  }
  return { ...opened, name }
}

/** Whether both are one file, or one device, whatever they are called. */
async function isSame(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([identifyDestination(one), identifyDestination(other)])
  return first.keys.some((key) => second.keys.includes(key))
}
