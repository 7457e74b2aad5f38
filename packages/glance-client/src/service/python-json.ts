/**
 * JSON in the spelling of Python's `json.dumps`: a blank after commas and colons, ASCII only. Other programs compare
 * and sign such texts, so that the spelling matters.
 */
export function pythonJson(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : special(value)
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return `[${value.map((item) => pythonJson(item)).join(', ')}]`
  if (value instanceof Date) return quote(value.toISOString())
  const members = Object.entries(value).filter(([, item]) => item !== undefined)
  return `{${members.map(([name, item]) => `${quote(name)}: ${pythonJson(item)}`).join(', ')}}`
}

function special(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return value > 0 ? 'Infinity' : '-Infinity'
}

function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
