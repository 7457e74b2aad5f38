import { type Command, Option } from 'commander'
import { type DiskFormat, type ImageMetadata, type ImageRecord, isSameFormat } from '@disk-image/core'
import type {
  FoundImage,
  ImageUtils,
  OpenedSource,
  SourceToImageReport,
  SourceToImageRequest,
  VolumeToImageReport,
} from '@disk-image/image-utils'
import { formatSeconds, exactBytes } from '../output/units.ts'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { holdOperand, openStream } from './file-source.ts'
import {
  lookUpChecksums,
  openWord,
  readManner,
  readSourceWord,
  type SourceFlags,
  withDiskOption,
  withSourceOptions,
} from './open-word.ts'
import { isWrappedFile, refuseArchive, withArchiveOption } from './judge-upload.ts'
import type { Perform } from './perform.ts'
import { withoutStoreId, takeStoreId, takeBack } from './new-image.ts'
import { collectProperty, knownFormat, operand } from './values.ts'

interface UploadFlags extends SourceFlags {
  readonly name?: string
  readonly disk?: string
  readonly image?: string
  readonly diskFormat?: string
  readonly volumeFormat?: DiskFormat
  readonly subformat?: string
  readonly compress?: 'none' | 'zlib' | 'zstd'
  readonly containerFormat?: 'bare' | 'compressed'
  readonly verify: 'strict' | 'fallback' | 'none'
  readonly storeId?: string
  readonly property?: Readonly<Record<string, string>>
}

const notes = `
With --name an image is made, and removed again if the upload fails; with --image an image without data is
filled. What is compressed, an archive or an OVA is unpacked on its way; not with --volume-format, and never a block device. The id is what is printed. With --glance or --cloud, --store ID names a store of that Glance.

Examples:
  $ disk-image upload /dev/vg0/volume --name backup --disk-format qcow2
  $ disk-image upload /dev/vg0/volume --name vm --disk-format vmdk --subformat streamOptimized
  $ disk-image upload disk.raw --name disk --glance http://127.0.0.1:9292
  $ disk-image upload disk.qcow2 --volume-format qcow2 --disk-format qcow2 --name disk --property os_type=linux`

/** `disk-image upload`: a volume into an image. */
export function addUploadCommand(program: Command, perform: Perform): void {
  withDiskOption(withSourceOptions(withArchiveOption(program.command('upload'))))
    .summary('a volume into an image')
    .description("Uploads a volume as an image, and prints the image's id.")
    .argument('<volume>', 'a file or block device; image:NAME, - or another source')
    .option('--name <name>', 'make an image of this name')
    .option('--image <id>', 'fill this image, which has no data yet')
    .option(
      '--disk-format <format>',
      "the image's format (default: 'raw', or what --image says; of another source what it is)",
      knownFormat('--disk-format', 'upload'),
    )
    .option(
      '--volume-format <format>',
      "what the volume is; never guessed (default: 'raw')",
      knownFormat('--volume-format', 'read'),
    )
    .option('--subformat <name>', "a variant of the image's format, for example fixed or streamOptimized")
    .addOption(
      new Option('--compress <how>', "compression of a qcow2 (default: 'zlib')").choices([
        'none',
        'zlib',
        'zstd',
      ]),
    )
    .addOption(
      new Option(
        '--container-format <format>',
        "compressed: gzip around the image (default: 'bare')",
      ).choices(['bare', 'compressed']),
    )
    .addOption(
      new Option(
        '--verify <how>',
        "compare the service's hash: strict, where it says one (fallback), or none, only the size",
      )
        .choices(['strict', 'fallback', 'none'])
        .default('fallback'),
    )
    .option('--store-id <id>', 'the store that takes the data')
    .option('--property <key=value>', 'a property of the image; may be repeated', collectProperty)
    .addHelpText('after', notes)
    .action(perform<UploadFlags>(upload))
}

async function upload(
  session: Session,
  flags: UploadFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const { name, image } = flags
  if ((name === undefined) === (image === undefined)) {
    throw new UsageError('Give either --name NAME, for a new image, or --image ID, for one without data.')
  }
  const storeId = takeStoreId(flags)
  const given = operand(operands, 0)
  const word = await readSourceWord(given, 'file')
  const isStream = word.kind === 'file' && (await openStream(session, given)) !== undefined
  const isWatched = (flags.checksum ?? []).length > 0 || flags.disk !== undefined
  const isElsewhere = word.kind !== 'file' || isStream || isWatched
  if (isElsewhere || (flags.volumeFormat === undefined && (await isWrappedFile(session, given, word.path)))) {
    await uploadSource(session, flags, given, storeId)
    return
  }
  // Before an image is made for it: what can't be read is refused.
  await using source = await holdOperand(session, word.path)
  const volume = source.name
  const imageUtils = await session.imageUtils()
  await refuseArchive(imageUtils, source, flags.volumeFormat ?? 'raw')
  const store = await session.store(withoutStoreId(flags))
  const target =
    image === undefined
      ? await createImage(session, store, name ?? '', flags)
      : await showImage(session, store, image, flags)
  const report = await uploadOrTakeBack(session, store, imageUtils, { target, volume, flags, storeId })
  const { imageId, diskFormat, containerFormat, bytesUploaded, warnings, durationSeconds } = report
  session.progress.finish()
  session.remark(
    `Uploaded ${volume} as image ${imageId}: ${diskFormat}, ${exactBytes(bytesUploaded)} in ${formatSeconds(durationSeconds.total)}, in ${store.description}.`,
  )
  session.answer(
    { imageId, volume, diskFormat, containerFormat, bytesUploaded, warnings, durationSeconds },
    [imageId],
    'all',
  )
}

/** What comes from elsewhere goes into the image as it is, out of what it is wrapped in, judged and compared on its way. */
async function uploadSource(
  session: Session,
  flags: UploadFlags & GlobalFlags,
  given: string,
  storeId: string | undefined,
): Promise<void> {
  const { diskFormat, containerFormat = 'bare' } = flags
  const diskAs = diskFormat ?? flags.volumeFormat
  if (flags.compress !== undefined || flags.subformat !== undefined || containerFormat === 'compressed') {
    throw new UsageError(
      'What does not come from a file or block device is uploaded as it is: no compression, no subformat.',
    )
  }
  if (
    diskFormat !== undefined &&
    flags.volumeFormat !== undefined &&
    !isSameFormat(diskFormat, flags.volumeFormat)
  ) {
    throw new UsageError(
      'What does not come from a file or block device is uploaded as it is: convert it first.',
    )
  }
  const imageUtils = await session.imageUtils()
  await using source = await openWord(session, imageUtils, given, {
    bare: 'file',
    flags: withoutStoreId(flags),
  })
  const store = await session.store(withoutStoreId(flags))
  const { image, name = '' } = flags
  const target =
    image === undefined
      ? ({ diskFormat: found }: FoundImage) =>
          createImage(session, store, name, { ...flags, diskFormat: found })
      : ({ diskFormat: found }: FoundImage) =>
          showImage(session, store, image, { ...flags, diskFormat: found })
  const report = await sendSource(session, imageUtils, store, {
    source,
    storeId,
    target,
    isNew: image === undefined,
    diskFormat: diskAs,
    disk: flags.disk,
    ...readManner(await lookUpChecksums(session, flags, given)),
    verifyUpload: flags.verify,
  })
  const {
    imageId,
    source: volume,
    bytesUploaded,
    hash,
    verified,
    warnings,
    durationSeconds,
    unwrapped,
    ...formats
  } = report
  session.progress.finish()
  session.remark(
    `Uploaded ${volume} as image ${imageId}: ${formats.diskFormat}, ${exactBytes(bytesUploaded)} in ${formatSeconds(durationSeconds.total)}, in ${store.description}.`,
  )
  const { diskFormat: disk, containerFormat: container } = formats
  session.answer(
    {
      imageId,
      volume,
      diskFormat: disk,
      containerFormat: container,
      bytesUploaded,
      hash: hash ?? null,
      verified,
      unwrapped: unwrapped && { opened: unwrapped.opened, disk: unwrapped.disk },
      warnings,
      durationSeconds,
    },
    [imageId],
    'all',
  )
}

/** What is sent into an image, and how. */
export interface SentSource extends Omit<
  SourceToImageRequest,
  'image' | 'source' | 'imageService' | 'context'
> {
  readonly source: OpenedSource
  /** Makes or finds the image, when it is known what the bytes are. */
  readonly target: (found: FoundImage) => Promise<ImageRecord>
  /** Whether the image is made for it, and taken back where it fails. */
  readonly isNew: boolean
}

/** Sends a source into an image in one pass. */
export async function sendSource(
  session: Session,
  imageUtils: ImageUtils,
  store: Store,
  { source, target, isNew, ...request }: SentSource,
): Promise<SourceToImageReport> {
  let made: ImageRecord | undefined
  try {
    return await imageUtils.sourceToImage({
      ...session.call,
      ...request,
      imageService: store.imageService,
      context: store.context,
      source,
      image: async (found) => (made = await target(found)),
    })
  } catch (error) {
    if (isNew && made !== undefined) await takeBack(session, store, made.id)
    throw error
  }
}

async function createImage(
  session: Session,
  store: Store,
  name: string,
  flags: UploadFlags,
): Promise<ImageRecord> {
  const metadata: ImageMetadata = {
    name,
    disk_format: flags.diskFormat ?? 'raw',
    container_format: flags.containerFormat ?? 'bare',
    properties: flags.property ?? {},
  }
  return store.imageService.create(store.context, metadata, { signal: session.io.signal })
}

async function showImage(
  session: Session,
  store: Store,
  id: string,
  flags: UploadFlags,
): Promise<ImageRecord> {
  const { signal } = session.io
  const record = await store.imageService.show(store.context, id, { signal })
  if (record.status !== undefined && record.status !== 'queued') {
    throw new UsageError(
      `Image ${id} is ${record.status}: only an image without data, in status queued, can be filled.`,
    )
  }
  const { disk_format: disk, container_format: container } = record
  const changes: ImageMetadata = {
    ...changed('disk_format', disk, flags.diskFormat ?? disk ?? 'raw'),
    ...changed('container_format', container, flags.containerFormat ?? container ?? 'bare'),
    ...(flags.property === undefined ? {} : { properties: flags.property }),
  }
  if (Object.keys(changes).length === 0) return record
  return store.imageService.update(store.context, id, changes, { purgeProperties: false, signal })
}

/** The field, where it isn't yet what it shall be. */
function changed(name: string, present: string | null | undefined, wanted: string): Record<string, string> {
  return present === wanted ? {} : { [name]: wanted }
}

interface Job {
  readonly target: ImageRecord
  readonly volume: string
  readonly flags: UploadFlags
  readonly storeId: string | undefined
}

/** An image that was made for an upload goes when the upload fails: nobody could use it. */
async function uploadOrTakeBack(
  session: Session,
  store: Store,
  imageUtils: ImageUtils,
  { target, volume, flags, storeId }: Job,
): Promise<VolumeToImageReport> {
  try {
    return await imageUtils.volumeToImage({
      ...session.call,
      imageService: store.imageService,
      context: store.context,
      image: target,
      volume,
      volumeFormat: flags.volumeFormat ?? 'raw',
      throttle: readManner(flags).throttle,
      compression: flags.compress,
      diskSubformat: flags.subformat,
      verify: flags.verify,
      storeId,
      runAsRoot: session.runAsRoot,
    })
  } catch (error) {
    if (flags.image === undefined) await takeBack(session, store, target.id)
    throw error
  }
}
