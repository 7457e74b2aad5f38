import { type ImageRecord, InvalidError } from '@disk-image/core'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { describeImage } from './image-show.ts'
import { operand } from './values.ts'

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
