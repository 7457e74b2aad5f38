import { formatBytes } from '@disk-image/core'
import type { ImportProgress, ImportRequest } from '@disk-image/image-utils/glance'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { openUploadFile, type UploadFile } from './file-source.ts'
import { describeImage, readImage } from './image-show.ts'
import { type JudgeFlags, judgeUpload } from './judge-upload.ts'
import { takeBack } from './new-image.ts'

/** Flags of `image import`. */
export interface ImportFlags extends JudgeFlags {
  readonly method?: ImportMethod
  readonly file?: string
  readonly uri?: string
  readonly toStore?: readonly string[]
  readonly allStores?: boolean
  readonly name?: string
}

type ImportMethod = 'glance-direct' | 'web-download' | 'copy-image'

/** `disk-image image import` */
export async function importImage(
  session: Session,
  flags: ImportFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const request = readRequest(flags)
  const [givenId] = operands
  if ((givenId === undefined) === (flags.name === undefined)) {
    throw new UsageError("Give either an image's id, or --name NAME for a new image.")
  }
  if (givenId === undefined && flags.diskFormat === undefined && flags.file === undefined) {
    throw new UsageError('Say with --disk-format FORMAT what the new image is.')
  }
  const store = await session.store()
  if (store.glance === undefined) {
    throw new UsageError(
      `Only a Glance imports images; the images are in ${store.description}. Give --glance or --cloud.`,
    )
  }
  const { client } = store.glance
  await using file = flags.file === undefined ? undefined : await openUploadFile(session, flags.file)
  const described = file === undefined ? flags : await describe(session, store, file, flags, givenId)
  const id = givenId ?? (await makeImage(session, store, described))
  try {
    if (file !== undefined) await client.stage(id, file.data, session.call)
    const call = { context: store.context, signal: session.io.signal }
    await client.import(id, request, call)
    await client.waitForImport(id, { ...call, onImportProgress: teller(session) })
  } catch (error) {
    if (givenId === undefined) await takeBack(session, store, id)
    throw error
  }
  const record = await readImage(session, store, id)
  session.answer(record, describeImage(session, record), { line: id })
}

/** @throws {UsageError} where the flags don't make one request */
function readRequest(flags: ImportFlags): ImportRequest {
  const { file, uri, toStore, allStores } = flags
  const method =
    flags.method ??
    (file !== undefined
      ? 'glance-direct'
      : uri !== undefined
        ? 'web-download'
        : (toStore ?? allStores)
          ? 'copy-image'
          : undefined)
  if (method === undefined)
    throw new UsageError('Say what to import: --file, --uri, or --to-store for a copy.')
  if (method !== 'glance-direct' && file !== undefined) throw new UsageError(`--file is not for ${method}.`)
  if (method !== 'web-download' && uri !== undefined) throw new UsageError(`--uri is not for ${method}.`)
  const stores = {
    ...(toStore === undefined ? {} : { stores: toStore }),
    ...(allStores === true ? { all_stores: true } : {}),
  }
  if (method !== 'web-download') return { method: { name: method }, ...stores }
  if (uri === undefined) throw new UsageError('web-download needs --uri.')
  return { method: { name: method, uri }, ...stores }
}

async function makeImage(
  session: Session,
  { imageService, context }: Store,
  flags: ImportFlags,
): Promise<string> {
  const record = await imageService.create(
    context,
    {
      name: flags.name,
      disk_format: flags.diskFormat,
      container_format: flags.containerFormat ?? 'bare',
    },
    { signal: session.io.signal },
  )
  session.remark(`Image ${record.id} is made.`)
  return record.id
}

/** What the file is: as the flags say, else as the record of an image that is there, else as it is found. */
async function describe(
  session: Session,
  { imageService, context }: Store,
  file: UploadFile,
  flags: ImportFlags,
  givenId: string | undefined,
): Promise<ImportFlags> {
  const { signal } = session.io
  const record = givenId === undefined ? undefined : await imageService.show(context, givenId, { signal })
  const claim: JudgeFlags = {
    diskFormat: flags.diskFormat ?? record?.disk_format ?? undefined,
    containerFormat: flags.containerFormat ?? record?.container_format ?? undefined,
    inspect: flags.inspect,
  }
  const diskFormat = await judgeUpload(session, { path: file.path, name: flags.file ?? '' }, claim)
  return { ...flags, diskFormat }
}

/** Says when something changes, not every second. */
function teller(session: Session): (progress: ImportProgress) => void {
  let last = ''
  return ({ status, importingToStores, size }) => {
    const stores = importingToStores.length === 0 ? '' : ` to ${importingToStores.join(', ')}`
    const bytes = size === undefined || size === 0 ? '' : `, ${formatBytes(size)}`
    const line = `${status}${stores}${bytes}`
    if (line !== last) session.remark(line)
    last = line
  }
}
