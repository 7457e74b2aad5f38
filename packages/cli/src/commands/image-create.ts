import type { ImageMetadata, ImageRecord, UploadSource } from '@disk-image/core'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { openStream, openUploadFile } from './file-source.ts'
import { lookUpChecksums, openWord, readManner, readSourceWord, type SourceFlags } from './open-word.ts'
import { sendSource } from './upload.ts'
import { checkDiskFormat, isInspected, type JudgeFlags, judgeUpload } from './judge-upload.ts'
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
}

/** `disk-image image create` */
export async function createImage(session: Session, flags: CreateFlags & GlobalFlags): Promise<void> {
  const storeId = takeStoreId(flags)
  if (flags.file === undefined) {
    const metadata = metadataOf(flags)
    const store = await session.store(withoutStoreId(flags))
    const record = await store.imageService.create(store.context, metadata, { signal: session.io.signal })
    finish(session, store, record)
    return
  }
  const word = await readSourceWord(flags.file, 'file')
  const isStream = word.kind === 'file' && (await openStream(session, flags.file)) !== undefined
  const isWatched = (flags.checksum ?? []).length > 0 || flags.limitRate !== undefined
  if (word.kind !== 'file' || isStream || isWatched) {
    await createFromSource(session, flags, flags.file, storeId)
    return
  }
  await using file = await openUploadFile(session, word.path)
  const diskFormat = await judgeUpload(session, { path: file.path, name: flags.file }, flags)
  const metadata = metadataOf({ ...flags, diskFormat })
  const store = await session.store(withoutStoreId(flags))
  const { data } = file
  finish(session, store, await createWithData(session, store, metadata, { data, storeId }))
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
    target: (diskFormat) =>
      imageService.create(context, metadataOf({ ...rest, diskFormat }), { signal: session.io.signal }),
    diskFormat: flags.diskFormat,
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
