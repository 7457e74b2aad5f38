import type { DetailOptions, ImageRecord } from '@disk-image/core'

/** Filters, sorts and cuts a list of images as Glance's `GET /v2/images` does. */
export function selectRecords(records: readonly ImageRecord[], options: DetailOptions): ImageRecord[] {
  const filters = Object.entries(options.filters ?? {})
  const found = records.filter((record) =>
    filters.every(([name, value]) => fieldOf(record, name) === String(value)),
  )
  const keys = options.sortKeys ?? ['created_at', 'id']
  const sorted = found.toSorted((left, right) => {
    for (const [index, key] of keys.entries()) {
      const order = compare(fieldOf(left, key), fieldOf(right, key))
      if (order !== 0) return (options.sortDirections?.[index] ?? 'desc') === 'asc' ? order : -order
    }
    return 0
  })
  const start =
    options.marker === undefined ? 0 : sorted.findIndex((record) => record.id === options.marker) + 1
  return sorted.slice(start, options.limit === undefined ? undefined : start + options.limit)
}

function fieldOf(record: ImageRecord, name: string): string {
  const fields: Readonly<Record<string, unknown>> = { ...record.properties, ...record }
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function compare(left: string, right: string): number {
  const [a, b] = [Number(left), Number(right)]
  if (left !== '' && right !== '' && Number.isFinite(a) && Number.isFinite(b)) return a - b
  return left < right ? -1 : Number(left > right)
}
