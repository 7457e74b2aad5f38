import { type CallOptions, InvalidError, type QemuImgInfo, type Target, toQemuFormat } from '@disk-image/core'
import { checkImageFormat as checkFormatOf } from '@disk-image/format-policy'
import { inspect } from '@disk-image/format-policy/inspector'
import { chownIfNeeded, resolvePlace } from '@disk-image/host'
import { checkSubformat, type Cipher } from '@disk-image/qemu-img'
import { Cleanup } from '../services/cleanup.ts'
import type { Throttle, Services } from '../services/services.ts'
import { checkDestination, checkEncryption, isWritable } from '../write/check-target.ts'
import { crossCheck, withImageId } from '../judge/ask-qemu-img.ts'
import { checkContent, checkKey, checkSameSize } from '../judge/judge.ts'
import { checkEncrypted, isLeftToTool, openEncrypted } from '../judge/decrypt.ts'
import { checkFormatOptions, type FormatOptions } from '../write/encode.ts'
import { openSet } from './open-set.ts'
import type { DiskFile } from '../write/disk-file.ts'
import { writeDisk, type WriteJob } from '../write/write-disk.ts'
import { type FileReader, openFileReader, checkUnchanged, withSource } from '../files/file-reader.ts'
import {
  driverOf,
  headBytes,
  isReadByUs,
  isWrittenByUs,
  luksCipherOf,
  layoutOf,
  type RouteLayout,
} from '../route/formats.ts'
import { chooseRoute, passesOf, type Route, type RouteTarget } from '../route/route.ts'
import { observe, Stopwatch } from '../telemetry/telemetry.ts'

/** Keywords of {@link convertImage}. */
export interface ConvertImageOptions extends CallOptions {
  readonly outSubformat?: string | undefined
  /** Options of the format that is written, where an encoder of ours writes it; otherwise they are refused. */
  readonly formatOptions?: FormatOptions | undefined
  /** What the source is, by any name. @default what the inspector finds */
  readonly srcFormat?: string | undefined
  /** @default true */
  readonly runAsRoot?: boolean | undefined
  readonly throttle?: Throttle | undefined
  /** For `luks`: the cipher, see `decodeCipher`. */
  readonly cipherSpec?: Cipher | undefined
  /** For `luks`: a file with the new passphrase. */
  readonly passphraseFile?: string | undefined
  /** For `luks`: milliseconds that deriving the key shall take on this machine. @default qemu-img's own: 2000 */
  readonly keyDerivationMs?: number | undefined
  /** Compress a qcow2. @default false */
  readonly compress?: boolean | undefined
  /** For an encrypted source: a file with its passphrase. */
  readonly srcPassphraseFile?: string | undefined
  /** Write the disk inside an encrypted source as raw, which is not encrypted. @default false */
  readonly decrypt?: boolean | undefined
  /**
   * For a VMDK descriptor: paths of the other files of its disk (monolithicFlat, twoGbMaxExtentFlat,
   * twoGbMaxExtentSparse). Only these are opened, whatever it names. @default []
   */
  readonly siblings?: readonly string[] | undefined
  /** Named in errors. @default 'internal image' */
  readonly imageId?: string | undefined
  /** What `qemuImgInfo` said of the source, where that is known. The source is inspected all the same. */
  readonly data?: QemuImgInfo | undefined
  readonly disableSparse?: boolean | undefined
  /** What takes the bytes in place of the destination, from their start to their end. @default the destination */
  readonly target?: Target | undefined
  /** Compression of a qcow2. zstd needs qemu 5.1 or newer to read. @default 'zlib' */
  readonly compression?: 'zlib' | 'zstd' | undefined
}

/**
 * Converts a disk. What the source is, is what was given and what the inspector finds: where the two differ it is
 * refused. What our own readers and encoders don't do, qemu-img does, told both formats.
 *
 * @param asCinder as the original: a raw or qcow2 source is left to qemu-img
 * @throws {ImageUnacceptableError} where the source is not what was claimed, or not acceptable
 * @throws {ProcessExecutionError}
 * @see cinder.image.image_utils.convert_image
 */
export function convertImage(
  services: Services,
  source: string,
  destination: string,
  outFormat: string,
  options: ConvertImageOptions = {},
  asCinder = false,
): Promise<void> {
  return observe(services, 'convert', options, async (observed, operation) => {
    const stopwatch = new Stopwatch(services.clock, operation)
    await convert(services, { source, destination, outFormat, asCinder, stopwatch }, observed)
    operation.note({ volumeFormat: toQemuFormat(outFormat) })
  })
}

interface Conversion {
  readonly source: string
  readonly destination: string
  readonly outFormat: string
  readonly asCinder: boolean
  readonly stopwatch: Stopwatch
}

async function convert(
  services: Services,
  { source, destination, outFormat, asCinder, stopwatch }: Conversion,
  options: ConvertImageOptions,
): Promise<void> {
  const runAsRoot = options.runAsRoot ?? true
  const imageId = options.imageId ?? 'internal image'
  const throughRoot = services.options.rootHelper.length > 0 && runAsRoot
  if (!throughRoot && options.target === undefined) await checkDestination(destination)
  const asked = toQemuFormat(outFormat)
  // As in the original, two passphrases always mean a LUKS volume, whatever format was asked for.
  const reencrypted = options.srcPassphraseFile !== undefined && options.passphraseFile !== undefined
  const volumeFormat = reencrypted ? 'luks' : asked
  checkEncryption({
    volumeFormat,
    passphraseFile: options.passphraseFile,
    sourcePassphraseFile: options.srcPassphraseFile,
    decrypt: options.decrypt,
  })
  checkSubformat(volumeFormat, options.outSubformat)
  const compress = (options.compress ?? false) && services.options.imageCompressOnUpload
  const throttle = options.throttle ?? services.throttle
  const { signal, onProgress, writeRight, srcPassphraseFile, passphraseFile, cipherSpec, keyDerivationMs } =
    options
  const needsRoot = throughRoot && options.target === undefined && !(await isWritable(destination))
  const place = await resolvePlace(destination).catch(() => undefined)
  const target: RouteTarget = {
    name: destination,
    kind: 'volume',
    format: volumeFormat,
    encodes:
      volumeFormat === 'luks'
        ? luksCipherOf(cipherSpec) !== undefined
        : isWrittenByUs(volumeFormat, options.outSubformat, options.disableSparse),
    inOrder: options.target !== undefined,
    needsTool: needsRoot || (throttle.prefix ?? []).length > 0,
    writesZeros: options.disableSparse === true,
    exists: place === undefined || place.found !== undefined,
    lengthBytes: 0,
    compressed: false,
  }
  checkFormatOptions(volumeFormat, target.encodes && !target.needsTool, options.formatOptions)
  const job: Omit<WriteJob, 'route'> = {
    imageId,
    target,
    throttle,
    needsRoot,
    call: { signal, onProgress, writeRight },
    request: {
      volume: destination,
      target: options.target,
      volumeSubformat: options.outSubformat,
      formatOptions: options.formatOptions,
      passphraseFile,
      sourcePassphraseFile: srcPassphraseFile,
      cipherSpec,
      keyDerivationMs,
      runAsRoot,
    },
    compression: compress && asked === 'qcow2' ? (options.compression ?? 'zlib') : 'none',
  }
  await Cleanup.around(services.logger, async (cleanup) => {
    if (throughRoot) await makeReadable(services, source, cleanup)
    await withSource(source, async (held) => {
      const judged = await held.stamp()
      const reader = await openFileReader(held.path)
      cleanup.always(() => reader.close())
      try {
        const question = { source: held.path, imageId, runAsRoot, target, options, asCinder }
        const { disk, route, confirmSet } = await judgeSource(services, reader, question, cleanup)
        cleanup.always(async () => disk.disk?.close())
        const confirm = async (): Promise<void> => {
          if (disk.format !== 'raw') await checkUnchanged(held, judged, imageId)
          await confirmSet?.()
        }
        stopwatch.expect(destination, passesOf(route))
        await stopwatch.time('convert', () => writeDisk(services, { ...job, route, confirm }, disk, cleanup))
      } catch (error) {
        throw withImageId(imageId, error)
      }
    })
  })
}

/** With a root helper, a source that this process may not read changes hands for the time of the conversion. */
async function makeReadable(services: Services, source: string, cleanup: Cleanup): Promise<void> {
  const owned = await chownIfNeeded(source, { runner: services.runner })
  cleanup.always(() => owned[Symbol.asyncDispose]())
}

interface Question {
  readonly source: string
  readonly imageId: string
  readonly runAsRoot: boolean
  readonly target: RouteTarget
  readonly options: ConvertImageOptions
  readonly asCinder: boolean
}

interface Judged {
  readonly disk: DiskFile
  readonly route: Route
  /** Of a disk in several files: that nobody has written to the others. */
  readonly confirmSet?: (() => Promise<void>) | undefined
}

/** What the source is, that it may be read as that, and the way it takes. */
async function judgeSource(
  services: Services,
  reader: FileReader,
  { source, imageId, runAsRoot, target, options, asCinder }: Question,
  cleanup: Cleanup,
): Promise<Judged> {
  const inspection = await inspect(reader)
  const claimed = claimOf(options)
  const { siblings = [] } = options
  if (siblings.length > 0) {
    if (claimed !== 'vmdk') throw new InvalidError({ reason: 'Only a VMDK can be in several files.' })
    const { disk, confirm } = await openSet(services, { imageId, reader, inspection, siblings }, cleanup)
    const layout = { format: 'vmdk', sizeBytes: disk.size, streams: false, reads: true }
    return {
      disk: { path: source, format: 'vmdk', disk, virtualSizeBytes: disk.size },
      route: routeOfFile(layout, target),
      confirmSet: confirm,
    }
  }
  const { signal, srcPassphraseFile: passphraseFile } = options
  if (passphraseFile !== undefined) {
    // Encrypted is either a qcow2 with LUKS inside, or a LUKS volume itself, whatever the record calls it.
    const format = inspection.format === 'qcow2' ? ('qcow2' as const) : ('luks' as const)
    if (format === 'qcow2')
      checkContent(services, imageId, { claimedFormat: format, inspection, hasPassphrase: true })
    const encrypted = { imageId, reader, passphraseFile, signal, format }
    // What is no container fails as it does in the original.
    const isJudged = options.decrypt === true || inspection.format === format
    const open = options.decrypt === true || target.encodes ? openEncrypted : checkEncrypted
    const opening = isJudged ? open(services, encrypted) : Promise.resolve()
    const disk = await opening.catch((error: unknown) => {
      if (options.decrypt === true || !isLeftToTool(error)) throw error
    })
    if (disk !== undefined) {
      const layout = { format, sizeBytes: disk.size, streams: false, reads: true }
      return {
        disk: { path: source, format, disk, virtualSizeBytes: disk.size },
        route: routeOfFile(layout, target),
      }
    }
    // An encrypted one tells its size only to who has the passphrase.
    const layout = { format, sizeBytes: undefined, streams: false, reads: false }
    return { disk: { path: source, format, virtualSizeBytes: undefined }, route: routeOfFile(layout, target) }
  }
  if (options.data !== undefined) {
    const { vmdkAllowedTypes: allowedTypes } = services.options
    checkFormatOf(imageId, options.srcFormat, options.data, { allowedTypes })
  }
  checkContent(services, imageId, { claimedFormat: claimed, inspection, hasPassphrase: false })
  checkKey(imageId, inspection, claimed)
  const format = toQemuFormat(driverOf(inspection))
  const judgedBytes = inspection.virtualSizeBytes
  const layout = layoutOf(format, inspection, await reader.read(0, headBytes))
  const readsAll = target.encodes || (!asCinder && target.format === 'raw')
  const reads = readsAll ? layout.reads : isReadByUs(format)
  const route = routeOfFile({ ...layout, reads }, target)
  const question = { imageId, path: source, format, judgedBytes, asRoot: runAsRoot, signal }
  const told = options.data ?? (route.asksQemuImg ? await crossCheck(services, question) : undefined)
  if (told !== undefined && format !== 'raw' && !isReadByUs(format)) {
    checkSameSize(imageId, told.virtualSize, judgedBytes)
  }
  const virtualSizeBytes = judgedBytes ?? reader.size
  return { disk: { path: source, reader, format, virtualSizeBytes }, route }
}

function routeOfFile(layout: RouteLayout, target: RouteTarget): Route {
  const source = { sizeBytes: undefined, inFile: true, signed: false, verifyFirst: false, asCinder: false }
  return chooseRoute(source, 'none', layout, target)
}

/** What was claimed, in qemu-img's terms. `ami` claims nothing, as in the original. */
function claimOf({ srcFormat, data }: ConvertImageOptions): string | undefined {
  if (srcFormat !== undefined && srcFormat.toLowerCase() !== 'ami') {
    return toQemuFormat(srcFormat)
  }
  return data?.fileFormat === undefined ? undefined : toQemuFormat(data.fileFormat)
}
