import { createHash } from 'node:crypto'

/** Names of what the fleet keeps in Redis. The engine's own keys begin with the same prefix. */
export class FleetKeys {
  readonly prefix: string

  constructor(prefix: string = 'disk-image') {
    this.prefix = prefix
  }

  /** The queue of a back end. */
  queue(backend: string): string {
    return `volumes-${backend}`
  }

  lease(destination: string): string {
    return this.#key('lease', digest(destination))
  }

  /** The last job that filled a destination. */
  outcome(destination: string): string {
    return this.#key('outcome', digest(destination))
  }

  fence(): string {
    return this.#key('fence')
  }

  cancelled(jobId: string): string {
    return this.#key('cancelled', jobId)
  }

  /** Hosts that had no room for a job. */
  avoided(jobId: string): string {
    return this.#key('avoided', jobId)
  }

  /** Jobs whose upload has begun, so that a whole image is known for their own. */
  begun(jobId: string): string {
    return this.#key('begun', jobId)
  }

  permits(name: string): string {
    return this.#key('permits', name)
  }

  hosts(backend: string): string {
    return this.#key('hosts', backend)
  }

  backends(): string {
    return this.#key('backends')
  }

  workers(): string {
    return this.#key('workers')
  }

  cancelChannel(): string {
    return this.#key('cancel')
  }

  #key(...parts: readonly string[]): string {
    return [this.prefix, 'fleet', ...parts].join(':')
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 40)
}
