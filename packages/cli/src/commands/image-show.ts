import type { ImageRecord } from '@disk-image/core'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { alignFields, alignRows, type Cell } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'
import type { Store } from '../store.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { paintStatus } from './image-list.ts'
import { operand } from './values.ts'

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
  session.answer({ stores }, alignRows([header, ...rows]), 'all')
}

/** Flags are strings on Glance's wire. */
function isTrue(flag: string | boolean | undefined): boolean {
  return flag === true || (typeof flag === 'string' && flag.toLowerCase() === 'true')
}
