import { type ImageRecord, formatBytes, InvalidError } from '@disk-image/core'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { alignFields, alignRows, type Cell } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { operand } from './values.ts'
import type { Style } from '../output/style.ts'
import { UsageError } from '../usage-error.ts'

/** What one looks for first. */
const firstFields = ['id', 'name', 'status', 'disk_format', 'container_format', 'size', 'virtual_size']
const sizes: ReadonlySet<string> = new Set(['size', 'virtual_size'])

/** `disk-image image show` */
export async function showImage(
  session: Session,
  _flags: GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const record = await readImage(session, await session.store(), operand(operands, 0))
  session.answer(record, describeImage(session, record), 'all')
}

/** What the service's record has beside the fields that every service has. */
const glanceFields = /^(stores|os_glance_.+)$/

/** An image's record, of a Glance with its stores and with what becomes of an import. */
export async function readImage(session: Session, store: Store, imageId: string): Promise<ImageRecord> {
  const { imageService, context, glance } = store
  const { signal } = session.io
  const record = await imageService.show(context, imageId, { signal })
  if (glance === undefined) return record
  const image = await glance.client.show(imageId, { context, signal })
  const more = Object.entries(image).filter(([name]) => glanceFields.test(name))
  const { properties, ...fields } = record
  return { ...fields, ...Object.fromEntries(more), properties }
}

/** Every field of a record that has a value, the properties under their own names behind them. */
export function describeImage({ style }: Session, record: ImageRecord): string[] {
  const { properties, ...fields } = record
  const names = new Set([...firstFields, ...Object.keys(fields)])
  const cell = (name: string, value: unknown): Cell | undefined => {
    if (value === undefined || value === null || value === '') return undefined
    if (name === 'status' && typeof value === 'string') return paintStatus(style, value)
    if (sizes.has(name) && typeof value === 'number') return exactBytes(value)
    if (value instanceof Date) return value.toISOString()
    return typeof value === 'string' ? value : JSON.stringify(value)
  }
  return [
    ...alignFields([...names].map((name) => [name, cell(name, (fields as Record<string, unknown>)[name])])),
    ...(Object.keys(properties).length === 0 ? [] : [style.bold('properties')]),
    ...alignFields(
      Object.entries(properties).map(([name, value]) => [name, cell('', value)]),
      '  ',
    ),
  ]
}

/** `disk-image image delete`: every one that can be, and the first error for those that can't. */
export async function deleteImages(
  session: Session,
  _flags: GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const { imageService, context } = await session.store()
  const deleted: string[] = []
  const failures: unknown[] = []
  for (const id of operands) {
    session.io.signal.throwIfAborted()
    try {
      await imageService.delete(context, id, { signal: session.io.signal })
      deleted.push(id)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) {
    for (const id of deleted) session.remark(`Deleted ${id}.`)
    throw failures[0]
  }
  session.answer(
    { deleted },
    deleted.map((id) => `Deleted ${id}.`),
  )
  return exitCodes.done
}

/** `disk-image image stores` */
export async function listStores(session: Session): Promise<void> {
  const { imageService, context } = await session.store()
  const { stores } = await imageService.getStores(context, { signal: session.io.signal })
  const header = ['STORE', 'DESCRIPTION', ''].map((text) => ({ text, paint: session.style.bold }))
  const rows = stores.map((store) => [
    store.id,
    store.description ?? '',
    [isTrue(store.default) ? 'default' : '', isTrue(store['read-only']) ? 'read-only' : '']
      .filter((text) => text !== '')
      .join(', '),
  ])
  const ids = stores.map(({ id }) => id).join('\n')
  session.answer({ stores }, alignRows([header, ...rows]), stores.length === 0 ? 'none' : { line: ids })
}

/** Flags are strings on Glance's wire. */
function isTrue(flag: string | boolean | undefined): boolean {
  return flag === true || (typeof flag === 'string' && flag.toLowerCase() === 'true')
}

/** Flags of `image list`. */
export interface ListFlags {
  readonly name?: string
  readonly status?: string
  readonly diskFormat?: string
  readonly visibility?: string
  readonly property?: Readonly<Record<string, string>>
  readonly limit?: number
}

/** A status in its colour: green can be fetched. */
function paintStatus(style: Style, status: string): Cell {
  if (status === 'active') return { text: status, paint: style.good }
  return { text: status, paint: status === 'killed' || status === 'deactivated' ? style.bad : style.note }
}

/** Bytes of the data, or a dash where there is none. */
function sizeOf({ size }: ImageRecord): string {
  return typeof size === 'number' ? formatBytes(size) : '–'
}

/** `disk-image image list` */
export async function listImages(session: Session, flags: ListFlags): Promise<void> {
  const { imageService, context, description } = await session.store()
  const { name, status, diskFormat, visibility, property, limit } = flags
  const wanted = { ...property, name, status, disk_format: diskFormat, visibility }
  const filters = Object.fromEntries(
    Object.entries(wanted).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])),
  )
  const images = await imageService.detail(context, { filters, limit, signal: session.io.signal })
  const { style } = session
  const header = ['ID', 'NAME', 'STATUS', 'FORMAT', 'SIZE'].map((text) => ({ text, paint: style.bold }))
  const rows = images.map((image) => [
    image.id,
    image.name ?? '',
    paintStatus(style, image.status ?? ''),
    formatOf(image),
    sizeOf(image),
  ])
  if (images.length === 0) session.remark(`There is no such image in ${description}.`)
  const ids = images.map(({ id }) => id).join('\n')
  const lines = images.length === 0 ? [] : alignRows([header, ...rows])
  session.answer({ images }, lines, images.length === 0 ? 'none' : { line: ids })
}

function formatOf({ disk_format: disk, container_format: container }: ImageRecord): string {
  const wrapped =
    container === undefined || container === null || container === 'bare' ? '' : ` in ${container}`
  return `${disk ?? '–'}${wrapped}`
}

/** Flags of `image set`. */
export interface SetFlags {
  readonly property?: Readonly<Record<string, string>>
}

/** Flags of `image unset`. */
export interface UnsetFlags {
  readonly property?: readonly string[]
}

/** `disk-image image set`: the properties that are named; all others stay. */
export async function setProperties(
  session: Session,
  { property }: SetFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  if (property === undefined) throw new UsageError('Say with --property KEY=VALUE what shall be set.')
  const record = await readRecord(session, operand(operands, 0))
  for (const name of Object.keys(property)) {
    if (name === 'properties' || (Object.hasOwn(record, name) && !Object.hasOwn(record.properties, name))) {
      throw new UsageError(`${name} is a field of an image, and no property.`)
    }
  }
  await change(session, record.id, { set: property, remove: [] })
}

/** `disk-image image unset`: removes properties. */
export async function unsetProperties(
  session: Session,
  { property = [] }: UnsetFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  if (property.length === 0) throw new UsageError('Say with --property KEY what shall be removed.')
  const { id, properties } = await readRecord(session, operand(operands, 0))
  const missing = property.find((name) => !Object.hasOwn(properties, name))
  if (missing !== undefined) {
    const names = Object.keys(properties).join(', ')
    throw new InvalidError({
      reason: `Image ${id} has no property ${missing}; it has ${names === '' ? 'none' : names}.`,
    })
  }
  await change(session, id, { set: {}, remove: property })
}

async function readRecord(session: Session, imageId: string): Promise<ImageRecord> {
  const { imageService, context } = await session.store()
  return imageService.show(context, imageId, { signal: session.io.signal })
}

async function change(
  session: Session,
  imageId: string,
  { set, remove }: { readonly set: Readonly<Record<string, string>>; readonly remove: readonly string[] },
): Promise<void> {
  const { imageService, context } = await session.store()
  const metadata = Object.keys(set).length === 0 ? {} : { properties: set }
  const record = await imageService.update(context, imageId, metadata, {
    signal: session.io.signal,
    purgeProperties: false,
    removeProperties: remove,
  })
  session.answer(record, describeImage(session, record))
}
