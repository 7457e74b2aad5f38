import { open } from 'node:fs/promises'
import type { ImageMetadata, ImageRecord, UploadSource } from '@disk-image/core'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { openStream, openUploadFile } from './file-source.ts'
import { lookUpChecksums, openWord, readManner, readSourceWord, type SourceFlags } from './open-word.ts'
import { sendSource } from './upload.ts'
import { checkDiskFormat, isInspected, isWrappedFile, type JudgeFlags, judgeUpload } from './judge-upload.ts'
import { takeBack, takeStoreId, withoutStoreId } from './new-image.ts'

/** Flags of `image create`. */
export interface CreateFlags extends JudgeFlags, SourceFlags {
  readonly name: string
  readonly file?: string
  readonly property?: Readonly<Record<string, string>>
  readonly tag?: readonly string[]
  readonly visibility?: string
  readonly protected?: boolean
  readonly minDisk?: number
  readonly minRam?: number
  readonly id?: string
  readonly storeId?: string
  readonly propertiesFromOvf?: boolean
  readonly disk?: string
}

/** `disk-image image create` */
export async function createImage(session: Session, flags: CreateFlags & GlobalFlags): Promise<void> {
  const storeId = takeStoreId(flags)
  if (flags.propertiesFromOvf === true && flags.file === undefined) {
    throw new UsageError('--properties-from-ovf reads an OVA: give it with --file.')
  }
  if (flags.file === undefined) {
    const metadata = metadataOf(flags)
    const store = await session.store(withoutStoreId(flags))
    const record = await store.imageService.create(store.context, metadata, { signal: session.io.signal })
    finish(session, store, record)
    return
  }
  const word = await readSourceWord(flags.file, 'file')
  const isStream = word.kind === 'file' && (await openStream(session, flags.file)) !== undefined
  const { checksum = [], limitRate, disk } = flags
  const isWatched = checksum.length > 0 || limitRate !== undefined || disk !== undefined
  const isElsewhere = word.kind !== 'file' || isStream || isWatched
  if (isElsewhere || (isInspected(flags) && (await isWrappedFile(session, flags.file, word.path)))) {
    await createFromSource(session, flags, flags.file, storeId)
    return
  }
  await using file = await openUploadFile(session, word.path)
  const diskFormat = await judgeUpload(session, { path: file.path, name: flags.file }, flags)
  const suggested = flags.propertiesFromOvf === true ? await propertiesOfOva(file.path, flags.file) : {}
  const metadata = merge(suggested, metadataOf({ ...flags, diskFormat }))
  const store = await session.store(withoutStoreId(flags))
  const { data } = file
  finish(session, store, await createWithData(session, store, metadata, { data, storeId }))
}

/**
 * What an OVA's descriptor suggests.
 *
 * @throws {UsageError} where there is none
 */
async function propertiesOfOva(path: string, name: string): Promise<ImageMetadata> {
  const { imagePropertiesOf, readMachine } = await import('@disk-image/image-utils')
  await using handle = await open(path)
  const { size } = await handle.stat()
  const machine = await readMachine({
    size,
    read: async (offset, length) => {
      const bytes = new Uint8Array(Math.min(length, size - offset))
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset)
      return bytes.subarray(0, bytesRead)
    },
  })
  if (machine !== undefined) return imagePropertiesOf(machine)
  throw new UsageError(`--properties-from-ovf is for an OVA, and ${name} is none.`)
}

/** What the caller says wins, property by property. */
function merge(suggested: ImageMetadata, own: ImageMetadata): ImageMetadata {
  const properties = { ...suggested.properties, ...own.properties }
  return Object.keys(properties).length === 0 ? own : { ...suggested, ...own, properties }
}

/** The same of what comes from elsewhere: in one pass, judged and compared before the image has its last byte. */
async function createFromSource(
  session: Session,
  flags: CreateFlags & GlobalFlags,
  word: string,
  storeId: string | undefined,
): Promise<void> {
  const { containerFormat = 'bare', inspect = true } = flags
  checkDiskFormat(flags)
  const imageUtils = await session.imageUtils()
  const place = withoutStoreId(flags)
  await using source = await openWord(session, imageUtils, word, { bare: 'file', flags: place })
  const store = await session.store(place)
  const { imageService, context } = store
  // A protected image could not be taken back: it is protected when it is whole.
  const { protected: guarded, ...rest } = flags
  const { imageId, image } = await sendSource(session, imageUtils, store, {
    source,
    storeId,
    isNew: true,
    target: ({ diskFormat, suggested }) => {
      const own = metadataOf({ ...rest, diskFormat })
      if (flags.propertiesFromOvf === true && suggested === undefined) {
        throw new UsageError(
          `--properties-from-ovf is for an OVA that is unpacked, and ${source.name} is none.`,
        )
      }
      const metadata = flags.propertiesFromOvf === true ? merge(suggested ?? {}, own) : own
      return imageService.create(context, metadata, { signal: session.io.signal })
    },
    diskFormat: flags.diskFormat,
    disk: flags.disk,
    containerFormat,
    inspect: isInspected({ containerFormat, inspect }),
    ...readManner(await lookUpChecksums(session, flags, word)),
  })
  const record =
    guarded === true
      ? await imageService.update(context, imageId, { protected: true }, { purgeProperties: false })
      : image
  finish(session, store, record)
}

function metadataOf(flags: CreateFlags): ImageMetadata {
  const { name, diskFormat, containerFormat, property, tag, visibility, minDisk, minRam, id } = flags
  const wanted = {
    id,
    name,
    disk_format: diskFormat,
    container_format: containerFormat ?? (diskFormat === undefined ? undefined : 'bare'),
    tags: tag,
    visibility,
    protected: flags.protected,
    min_disk: minDisk,
    min_ram: minRam,
    properties: property,
  }
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined))
}

/** The record first, then the data: a data that doesn't arrive whole takes the record with it. */
async function createWithData(
  session: Session,
  store: Store,
  metadata: ImageMetadata,
  { data, storeId }: { readonly data: UploadSource; readonly storeId: string | undefined },
): Promise<ImageRecord> {
  const { imageService, context } = store
  // A protected image could not be taken back: it is protected when it is whole.
  const { protected: guarded, ...fields } = metadata
  const { id } = await imageService.create(context, fields, { signal: session.io.signal })
  try {
    const record = await imageService.upload(context, id, data, { ...session.call, storeId })
    if (guarded !== true) return record
    return await imageService.update(
      context,
      id,
      { protected: true },
      { ...session.call, purgeProperties: false },
    )
  } catch (error) {
    await takeBack(session, store, id)
    throw error
  }
}

function finish(session: Session, store: Store, record: ImageRecord): void {
  const { id, status = 'queued' } = record
  session.progress.finish()
  session.remark(`Image ${id} is ${status}, in ${store.description}.`)
  session.answer(record, [id], 'all')
}
