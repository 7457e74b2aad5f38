import { stat } from 'node:fs/promises'
import {
  type CallOptions,
  ImageUnacceptableError,
  ProcessExecutionError,
  type QemuImgInfo,
  type RandomAccessReader,
  toQemuFormat,
  type Verdict,
} from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { openVhd, readVhdxLayout } from '@disk-image/disk'
import type { Services } from '../services/services.ts'
import { qemuImgMissing } from '../judge/ask-qemu-img.ts'
import { inspectFile, withFileReader, withSource } from '../files/file-reader.ts'
import { driverOf, hasDriver } from '../route/formats.ts'

/** Keywords of {@link qemuImgInfo}. */
export interface QemuImgInfoOptions extends CallOptions {
  /** Through the root helper, where one is configured. @default true */
  readonly runAsRoot?: boolean | undefined
  /** Also while another process has the image open. @default false */
  readonly forceShare?: boolean | undefined
  /** @default false */
  readonly allowQcow2BackingFile?: boolean | undefined
  /** What the image is known to be. `raw` is believed; anything else is inspected all the same. */
  readonly imgFormat?: string | undefined
}

/**
 * The format of a file, or undefined where it is not safe to open.
 *
 * What qemu-img has no driver for (an ISO, a partition table, a file system, plain bytes) is `raw`.
 *
 * @see cinder.image.format_inspector.get_image_format, cinder.privsep.format_inspector.get_format_if_safe
 */
export async function getImageFormat(
  services: Services,
  path: string,
  options: { readonly allowQcow2BackingFile?: boolean | undefined } = {},
): Promise<string | undefined> {
  const inspection = await inspectFile(path)
  return judgeFile(services, inspection, options.allowQcow2BackingFile).ok ? driverOf(inspection) : undefined
}

/**
 * What `qemu-img info` says, asked only about a file that the inspector found safe, and with its format. About a VHD
 * or a VHDX our own reader answers.
 *
 * A raw file that is a LUKS volume says so: `encrypted`, and `formatSpecific` of type `luks`.
 *
 * @throws {ImageUnacceptableError} for an unsafe file, with the rule that it breaks
 * @throws {ProcessExecutionError}
 * @see cinder.image.image_utils.qemu_img_info
 */
export async function qemuImgInfo(
  services: Services,
  path: string,
  options: QemuImgInfoOptions = {},
): Promise<QemuImgInfo> {
  // A backing file is named relative to where its image is, so that one is read by its name.
  if (options.allowQcow2BackingFile === true) return infoOf(services, path, options)
  return withSource(path, async (source) => {
    const info = await infoOf(services, source.path, options)
    return info.image === source.path ? { ...info, image: path } : info
  })
}

async function infoOf(services: Services, path: string, options: QemuImgInfoOptions): Promise<QemuImgInfo> {
  const { signal, forceShare, allowQcow2BackingFile = false } = options
  const claimed = options.imgFormat === '' ? undefined : options.imgFormat
  const inspection = await inspectFile(path)
  if (claimed !== 'raw') {
    const verdict = judgeFile(services, inspection, allowQcow2BackingFile)
    if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId: path })
  }
  const format = toQemuFormat(claimed ?? driverOf(inspection))
  if (format === 'vpc' || format === 'vhdx') return infoOfOurs(path, format)
  const call = {
    forceShare: forceShare ?? false,
    asRoot: options.runAsRoot ?? true,
    allowBackingFile: allowQcow2BackingFile,
    signal,
  }
  const info = await services.qemuImg.info(path, { format, ...call })
  if (format !== 'raw' || inspection.format !== 'luks') return info
  const inside = await services.qemuImg.info(path, { format: 'luks', ...call })
  return { ...inside, fileFormat: info.fileFormat, encrypted: true }
}

async function infoOfOurs(path: string, format: string): Promise<QemuImgInfo> {
  const { size, blockBytes } = await withFileReader(path, (reader) => measure(reader, format))
  const { blocks } = await stat(path)
  return {
    image: path,
    fileFormat: format,
    virtualSize: size,
    diskSize: blocks * 512,
    backingFile: undefined,
    backingFileFormat: undefined,
    clusterSize: blockBytes,
    encrypted: false,
    snapshots: [],
    formatSpecific: undefined,
  }
}

async function measure(
  reader: RandomAccessReader,
  format: string,
): Promise<{ readonly size: number; readonly blockBytes: number | undefined }> {
  if (format === 'vhdx') {
    const { sizeBytes, blockBytes } = await readVhdxLayout(reader)
    return { size: sizeBytes, blockBytes }
  }
  const { layout } = await openVhd(reader)
  return { size: layout.sizeBytes, blockBytes: layout.dynamic?.header.blockSizeBytes }
}

/**
 * Whether qemu-img may open a file as what it is. Bytes that are no disk of any format it knows are opened
 * as raw, which is never unsafe.
 */
function judgeFile(services: Services, inspection: InspectionResult, allowQcow2BackingFile = false): Verdict {
  if (driverOf(inspection) === 'raw' && !hasDriver(inspection)) return { ok: true }
  return services.policy
    .with({ allowQcow2BackingFile, vmdkAllowedTypes: everyVmdkType(inspection) })
    .judge({ inspection })
}

/** Which type of VMDK is accepted is asked later, of what qemu-img says; here only what is dangerous counts. */
function everyVmdkType(inspection: InspectionResult): readonly string[] {
  const { createType } = inspection.details
  return createType === undefined ? ['monolithicSparse'] : [createType]
}

/** Keywords of {@link getQemuData}. */
export interface QemuDataOptions extends CallOptions {
  readonly forceShare?: boolean | undefined
}

/**
 * The same for an image that may be used without qemu-img if it is raw: then undefined.
 *
 * @throws {ImageUnacceptableError} where qemu-img is not installed and the image is not raw, or fails
 * @see cinder.image.image_utils.get_qemu_data
 */
export async function getQemuData(
  services: Services,
  imageId: string,
  hasMeta: boolean,
  diskFormatRaw: boolean,
  destination: string,
  runAsRoot: boolean,
  options: QemuDataOptions = {},
): Promise<QemuImgInfo | undefined> {
  try {
    return await qemuImgInfo(services, destination, { ...options, runAsRoot })
  } catch (error) {
    if (!(error instanceof ProcessExecutionError)) throw error
    if (error.endReason !== 'not-installed') {
      throw new ImageUnacceptableError({
        imageId,
        reason: `qemu-img can't read it: ${error.stderr.trim() || error.shortMessage}`,
        rule: 'qemu-img-info',
        cause: error,
      })
    }
    if (!hasMeta) {
      throw new ImageUnacceptableError({
        imageId,
        reason: 'qemu-img is not installed.',
        rule: 'qemu-img-installed',
      })
    }
    if (!diskFormatRaw) throw qemuImgMissing(imageId, error)
    return undefined
  }
}
