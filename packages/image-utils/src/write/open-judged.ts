import { type CallOptions, type Disk, type DiskFormat, InvalidError, toQemuFormat } from '@disk-image/core'
import { inspect } from '@disk-image/format-policy/inspector'
import { type HeldFile, holdFile, renameInError } from '@disk-image/host'
import { openFileReader } from '../files/file-reader.ts'
import { driverOf, headBytes, layoutOf } from '../route/formats.ts'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { openDiskFile } from './disk-file.ts'
import { checkContent, checkKey, checkSameSize } from '../judge/judge.ts'

/** A file or device whose disk is open, inspected and judged. */
export interface JudgedVolume {
  readonly held: HeldFile
  /** Its stamp from before it was looked at. */
  readonly judged: string
  /** In qemu-img's terms. */
  readonly format: string
  readonly disk: Disk
}

/**
 * Opens the disk in a file or device, judged as what it is said to be.
 *
 * @param options `volumeFormat`: its record's word; undefined for whatever the inspector finds. `isVolume`: a raw one is
 *   raw, whatever its guest wrote there
 * @throws {ImageUnacceptableError | InvalidError}
 */
export async function openJudged(
  services: Services,
  volume: string,
  {
    volumeFormat,
    isVolume = false,
    signal,
  }: CallOptions & { readonly volumeFormat: DiskFormat | undefined; readonly isVolume?: boolean },
  cleanup: Cleanup,
): Promise<JudgedVolume> {
  const held = await holdFile(volume)
  cleanup.always(() => held[Symbol.asyncDispose]())
  return named(held, async () => {
    const judged = await held.stamp()
    const reader = await openFileReader(held.path)
    cleanup.always(() => reader.close())
    const inspection = await inspect(reader)
    const claimedFormat = volumeFormat === undefined ? undefined : toQemuFormat(volumeFormat)
    const isRaw = isVolume && claimedFormat === 'raw'
    if (!isRaw) checkContent(services, volume, { claimedFormat, inspection, hasPassphrase: false })
    const format = isRaw ? 'raw' : toQemuFormat(driverOf(inspection))
    if (!isRaw) checkKey(volume, inspection, claimedFormat ?? format)
    if (!layoutOf(format, inspection, await reader.read(0, headBytes)).reads) {
      throw new InvalidError({ reason: `A ${format} is not read in process: convert it to qcow2 first.` })
    }
    const virtualSizeBytes = format === 'raw' ? reader.size : (inspection.virtualSizeBytes ?? reader.size)
    const file = { path: held.path, reader, format, virtualSizeBytes }
    const opened = await openDiskFile(services, file, { signal })
    cleanup.always(() => opened[Symbol.asyncDispose]())
    checkSameSize(volume, opened.disk.size, virtualSizeBytes)
    return { held, judged, format, disk: opened.disk }
  })
}

/** Calls the file by its own name in what goes wrong. */
export async function named<Result>(held: HeldFile, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    renameInError(error, held)
    throw error
  }
}
