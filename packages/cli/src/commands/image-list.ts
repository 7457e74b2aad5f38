import { formatBytes, type ImageRecord } from '@disk-image/core'
import { alignRows, type Cell } from '../output/table.ts'
import type { Style } from '../output/style.ts'
import type { Session } from '../session.ts'

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
export function paintStatus(style: Style, status: string): Cell {
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
  session.answer({ images }, images.length === 0 ? [] : alignRows([header, ...rows]), 'all')
}

function formatOf({ disk_format: disk, container_format: container }: ImageRecord): string {
  const wrapped =
    container === undefined || container === null || container === 'bare' ? '' : ` in ${container}`
  return `${disk ?? '–'}${wrapped}`
}
