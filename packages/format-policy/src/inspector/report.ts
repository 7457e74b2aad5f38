import type { Refusal } from '@disk-image/core'
import type { Check, Finding, ImageDetails, InspectionVerdict } from './result.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** What an examiner writes its findings into. The first finding of each name is kept. */
export class Report {
  readonly details: Mutable<ImageDetails> = {}
  virtualSize: bigint | undefined
  readonly #checks: Map<string, Check> = new Map()

  /** Declares checks that hold unless something is found. */
  expect(...names: readonly string[]): void {
    for (const name of names) if (!this.#checks.has(name)) this.#checks.set(name, { name, ok: true })
  }

  fail(name: string, finding: Finding): void {
    if (!this.hasFailed(name)) this.#checks.set(name, { name, ok: false, ...finding })
  }

  /** Takes over what the parser of a layout found; its rules are named `FORMAT-CHECK`. */
  failAll(problems: readonly Refusal[]): void {
    for (const { rule, ...finding } of problems) this.fail(rule.slice(rule.indexOf('-') + 1), finding)
  }

  /** Whether a finding of this name is there: what else is found needs no words. */
  hasFailed(name: string): boolean {
    return this.#checks.get(name)?.ok === false
  }

  /** Odd, but no reason to refuse. */
  note(name: string, finding: Finding): void {
    const before = this.#checks.get(name)
    if (before === undefined || (before.ok && before.reason === undefined)) {
      this.#checks.set(name, { name, ok: true, ...finding })
    }
  }

  get checks(): readonly Check[] {
    return [...this.#checks.values()]
  }

  get safe(): boolean {
    return this.checks.every((check) => check.ok)
  }

  get verdict(): InspectionVerdict {
    const failed = this.checks.filter(({ ok }) => !ok)
    if (failed.length === 0) return 'safe'
    return failed.every(({ name }) => name === 'disk-image') ? 'not-a-disk-image' : 'not-safe'
  }
}
