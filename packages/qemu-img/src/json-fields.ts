import { jsonDepth } from '@disk-image/core'
import { QemuImgOutputError } from './errors.ts'

/** A JSON object whose fields are not believed before they are looked at. */
export type JsonObject = Readonly<Record<string, unknown>>

/** No output that is known has more than 8. */
const deepest = 64

/** Reads fields of one subcommand's output, and fails on every one that isn't what it should be. */
export class FieldReader {
  readonly #subcommand: string

  constructor(subcommand: string) {
    this.#subcommand = subcommand
  }

  fail(reason: string, cause?: unknown): never {
    throw new QemuImgOutputError({ subcommand: this.#subcommand, reason, cause })
  }

  parse(text: string): unknown {
    if (jsonDepth(text) > deepest) return this.fail(`it is nested more than ${deepest} deep`)
    try {
      return JSON.parse(text)
    } catch (error) {
      return this.fail('it is not JSON', error)
    }
  }

  object(value: unknown, name: string): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
    return this.fail(`${name} is not an object`)
  }

  list(value: unknown, name: string, mostEntries: number): readonly unknown[] {
    if (!Array.isArray(value)) return this.fail(`${name} is not a list`)
    if (value.length > mostEntries) return this.fail(`${name} has ${value.length} entries`)
    return value
  }

  text(object: JsonObject, key: string): string {
    const value = object[key]
    return typeof value === 'string' ? value : this.fail(`'${key}' is not a string`)
  }

  optionalText(object: JsonObject, key: string): string | undefined {
    return object[key] === undefined || object[key] === null ? undefined : this.text(object, key)
  }

  /** Bytes or a count: whole, not negative, and exact in a number. */
  size(object: JsonObject, key: string): number {
    const value = object[key]
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return this.fail(`'${key}' is not a size`)
  }

  optionalSize(object: JsonObject, key: string): number | undefined {
    return object[key] === undefined || object[key] === null ? undefined : this.size(object, key)
  }

  flag(object: JsonObject, key: string): boolean {
    const value = object[key]
    if (value === undefined || value === null) return false
    return typeof value === 'boolean' ? value : this.fail(`'${key}' is not true or false`)
  }
}
