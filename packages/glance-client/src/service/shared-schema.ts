import { unlessAborted } from '@disk-image/io'
import type { GlanceCallOptions, GlanceClient } from '../client/client-types.ts'
import type { ImageSchema } from './translate.ts'

/** The image schema of a Glance, asked for once. Calls wait for the same request, so it ends with none of them. */
export class SharedSchema {
  readonly #client: GlanceClient
  readonly #closing = new AbortController()
  #schema: Promise<ImageSchema> | undefined

  constructor(client: GlanceClient) {
    this.#client = client
  }

  load({ context, signal }: GlanceCallOptions): Promise<ImageSchema> {
    this.#schema ??= this.#request(context)
    return unlessAborted(this.#schema, signal)
  }

  /** Asks for it beside something else. What that fails with is told to those who need it. */
  begin(call: GlanceCallOptions): void {
    this.load(call).catch(() => undefined)
  }

  close(): void {
    this.#closing.abort()
  }

  async #request(context: GlanceCallOptions['context']): Promise<ImageSchema> {
    try {
      return await this.#client.schema('image', { context, signal: this.#closing.signal })
    } catch (error) {
      this.#schema = undefined
      throw error
    }
  }
}
