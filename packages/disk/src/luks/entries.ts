import { malformed, Stop, textOffset } from './headers-2.ts'

/** Reads the parts of JSON that anybody may have written. */
export class Entries {
  readonly fields: Readonly<Record<string, unknown>>

  constructor(value: unknown, name: string) {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isObject) throw malformed(`The metadata has no ${name}`)
    this.fields = value as Readonly<Record<string, unknown>>
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined
  }

  object(name: string): Entries {
    return new Entries(this.fields[name], name)
  }

  list(name: string): readonly unknown[] {
    const value = this.fields[name]
    return Array.isArray(value) ? value : []
  }

  text(name: string): string {
    const value = this.fields[name]
    if (typeof value === 'string' && value.length <= 1024) return value
    throw malformed(`The metadata has no text for ${name}`)
  }

  number(name: string): number {
    const value = this.fields[name]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw malformed(`The metadata has no number for ${name}`)
  }

  /** Numbers of 64 bits are written as text. */
  bytes(name: string): number {
    const digits = this.text(name)
    const number = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN
    if (Number.isSafeInteger(number)) return number
    throw malformed(`The metadata has no possible ${name}`, { offset: textOffset, found: digits })
  }

  base64(name: string): Uint8Array {
    try {
      return Uint8Array.from(atob(this.text(name)), (character) => character.charCodeAt(0))
    } catch (error) {
      throw error instanceof Stop ? error : malformed(`The metadata has no base64 for ${name}`)
    }
  }
}
