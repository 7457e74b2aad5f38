import type { ImageMetadata, ImageRecord, UploadSource } from '@disk-image/core'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { openUploadFile } from './file-source.ts'
import { type JudgeFlags, judgeUpload } from './judge-upload.ts'
import { takeBack } from './take-back.ts'
import { takeStoreId, withoutStoreId } from './store-id.ts'

/** Flags of `image create`. */
export interface CreateFlags extends JudgeFlags {
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
  await using file = await openUploadFile(session, flags.file)
  const diskFormat = await judgeUpload(session, { path: file.path, name: flags.file }, flags)
  const metadata = metadataOf({ ...flags, diskFormat })
  const store = await session.store(withoutStoreId(flags))
  const { data } = file
  finish(session, store, await createWithData(session, store, metadata, { data, storeId }))
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
