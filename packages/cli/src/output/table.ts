import { printable } from '@disk-image/core'
import type { Paint } from './style.ts'

/** One cell: a text, and how it is painted once it is padded. */
export type Cell = string | { readonly text: string; readonly paint: Paint }

function textOf(cell: Cell): string {
  return printable(typeof cell === 'string' ? cell : cell.text)
}

/** Rows as aligned lines, two spaces between the columns. Cells are made printable. */
export function alignRows(rows: readonly (readonly Cell[])[], indent: string = ''): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, textOf(cell).length)
    }
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const text = textOf(cell)
      const padding = ' '.repeat(column === row.length - 1 ? 0 : (widths[column] ?? 0) - text.length)
      return (typeof cell === 'string' ? text : cell.paint(text)) + padding
    })
    return `${indent}${cells.join('  ')}`.trimEnd()
  })
}

/** A name and what belongs to it. Fields without a value are left out. */
export function alignFields(
  fields: readonly (readonly [name: string, value: Cell | undefined])[],
  indent: string = '',
): string[] {
  const present = fields.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return alignRows(present, indent)
}
