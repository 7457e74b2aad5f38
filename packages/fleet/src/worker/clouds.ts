import { InvalidError } from '@disk-image/core'
import type { CloudAccess, CloudOptions } from './options.ts'

/** The image services that a worker knows, each opened once. */
export class Clouds {
  readonly #options: Readonly<Record<string, CloudOptions>>
  readonly #open = new Map<string, Promise<CloudAccess>>()

  constructor(options: Readonly<Record<string, CloudOptions>>) {
    this.#options = options
  }

  /** @throws {InvalidError} for a name that the configuration doesn't have */
  optionsOf(name: string): CloudOptions {
    const found = Object.hasOwn(this.#options, name) ? this.#options[name] : undefined
    if (found === undefined) {
      throw new InvalidError({ reason: `This worker knows no cloud ${name}: add it to its configuration.` })
    }
    return found
  }

  async access(name: string): Promise<CloudAccess> {
    const options = this.optionsOf(name)
    const opening = this.#open.get(name) ?? Promise.resolve(options.open())
    this.#open.set(name, opening)
    try {
      return await opening
    } catch (error) {
      // The next job tries again: who could not sign in now may be able to later.
      this.#open.delete(name)
      throw error
    }
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#open.values())
    for (const settled of opened) if (settled.status === 'fulfilled') await settled.value.close?.()
  }
}
