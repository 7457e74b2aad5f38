import type { Refusal } from '@disk-image/core'

/** What is wrong, without the rule that says so. */
export type Finding = Omit<Refusal, 'rule'>

/** Collects what a layout's parser finds wrong, the first of each check. The rules are named `FORMAT-CHECK`. */
export class Problems {
  readonly list: Refusal[] = []
  readonly #format: string

  constructor(format: string) {
    this.#format = format
  }

  add(check: string, finding: Finding): void {
    // A hostile image has a million of each.
    if (!this.has(check)) this.list.push(Object.freeze({ rule: `${this.#format}-${check}`, ...finding }))
  }

  has(check: string): boolean {
    return this.list.some(({ rule }) => rule === `${this.#format}-${check}`)
  }
}
