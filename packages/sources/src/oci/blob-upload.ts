import { createHash, type Hash } from 'node:crypto'
import { type Logger, MiB } from '@disk-image/core'
import {
  type ClientAnswer,
  ConnectionBrokenError,
  delay,
  HttpStatusError,
  isPassing,
  retryText,
} from '@disk-image/http'
import { PushFailedError } from '../errors.ts'
import type { RegistryRequest, Repository } from './registry.ts'

/** What a blob became. */
export interface UploadedBlob {
  readonly digest: string
  readonly size: number
}

/** Shorter portions are not tried, however a server complains. */
const leastPortionBytes = MiB

/**
 * Sends a blob in portions, whose digest is known only at the end. A portion is kept until the registry has it, so that
 * one that breaks off goes on where the registry says.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
 */
export class BlobUpload {
  readonly #repository: Repository
  readonly #logger: Logger
  readonly #reference: string
  readonly #signal: AbortSignal | undefined
  readonly #hash: Hash = createHash('sha256')
  #portionBytes: number
  #location: URL | undefined
  /** Bytes that the registry has. */
  #sent = 0
  #portion: Buffer
  #length = 0
  #underWay: Promise<void> | undefined
  #spare: Buffer | undefined
  /** How often a portion that broke off was continued. */
  resumes = 0

  constructor(
    repository: Repository,
    reference: string,
    options: {
      readonly portionBytes: number
      readonly logger: Logger
      readonly signal: AbortSignal | undefined
    },
  ) {
    this.#repository = repository
    this.#logger = options.logger
    this.#reference = reference
    this.#signal = options.signal
    this.#portionBytes = options.portionBytes
    this.#portion = Buffer.allocUnsafe(options.portionBytes)
  }

  /** Asks for a place to put it. */
  async begin(): Promise<void> {
    const answer = await this.#small({ method: 'POST', where: 'blobs/uploads/', text: '' })
    this.#expect(answer, 202, 'it takes no upload')
    const least = Number(answer.head.headers.get('oci-chunk-min-length') ?? 0)
    if (least > this.#portionBytes && least <= 64 * MiB) {
      this.#portionBytes = least
      this.#portion = Buffer.allocUnsafe(least)
    }
  }

  /** Takes the next bytes; the last portion but one is on its way meanwhile. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk)
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + this.#portion.length - this.#length)
      this.#portion.set(part, this.#length)
      this.#length += part.length
      at += part.length
      if (this.#length === this.#portion.length) await this.#handOver()
    }
  }

  /** Sends the rest, and closes the upload with the digest of all of it. */
  async finish(): Promise<UploadedBlob> {
    if (this.#length > 0) await this.#handOver()
    await this.#underWay
    const digest = `sha256:${this.#hash.digest('hex')}`
    const where = this.#where()
    where.searchParams.set('digest', digest)
    const answer = await this.#small({ method: 'PUT', where, text: '' })
    this.#expect(answer, 201, 'it does not take the upload for whole')
    const said = answer.head.headers.get('docker-content-digest')
    if (said !== undefined && said !== digest)
      throw this.#failed(`it has the blob as ${said.slice(0, 80)}, not ${digest}`)
    return { digest, size: this.#sent }
  }

  /** Has what arrived thrown away. A registry that doesn't hear of it does so after a while. */
  async cancel(): Promise<void> {
    await this.#underWay?.catch(() => undefined)
    if (this.#location === undefined) return
    const request = { method: 'DELETE', where: this.#location, signal: AbortSignal.timeout(5000) } as const
    await this.#repository.send(request).catch(() => undefined)
  }

  async #handOver(): Promise<void> {
    await this.#underWay
    const bytes = this.#portion.subarray(0, this.#length)
    const next = this.#spare ?? Buffer.allocUnsafe(this.#portion.length)
    this.#spare = this.#portion
    this.#portion = next
    this.#length = 0
    this.#underWay = this.#sendPortion(bytes)
    // It is waited for before the next one; a failure until then is not an unhandled one.
    this.#underWay.catch(() => undefined)
  }

  /** Sends a portion until the registry has all of it. */
  async #sendPortion(portion: Buffer): Promise<void> {
    const { retries } = this.#repository
    const begin = this.#sent
    const end = begin + portion.length
    for (let failures = 0; this.#sent < end;) {
      const before = this.#sent
      const failure = await this.#sendPart(
        portion.subarray(before - begin, before - begin + this.#portionBytes),
      )
      if (failure === undefined) continue
      this.resumes += 1
      failures += 1
      if (failures > retries) throw failure
      const wait = this.#repository.waitMs(
        failures - 1,
        failure instanceof HttpStatusError ? failure.retryAfterMs : undefined,
      )
      this.#logger.warn(
        `Resuming the upload at byte ${this.#sent} ${retryText(failure, wait, failures, retries)}`,
      )
      await delay(wait, this.#signal)
      await this.#askWhere(begin, end)
      if (this.#sent > before) failures = 0
    }
  }

  /** @returns what may pass; undefined where the registry has all of it, or wants it in smaller parts */
  async #sendPart(part: Buffer): Promise<Error | undefined> {
    const first = this.#sent
    const last = first + part.length - 1
    let answer: ClientAnswer
    try {
      answer = await this.#repository.send({
        method: 'PATCH',
        where: this.#where(),
        headers: { 'Content-Type': 'application/octet-stream', 'Content-Range': `${first}-${last}` },
        body: { size: part.length, open: () => once(part) },
        signal: this.#signal,
      })
    } catch (error) {
      this.#signal?.throwIfAborted()
      if (error instanceof ConnectionBrokenError && !error.fatal) return error
      throw error
    }
    const { status } = answer.head
    if (status === 413 && this.#portionBytes > leastPortionBytes) {
      this.#portionBytes = Math.max(leastPortionBytes, Math.floor(this.#portionBytes / 2))
      return undefined
    }
    // A range that does not fit is told from what the registry has.
    if (answer.error !== undefined && (isPassing(status) || status === 416 || status === 500))
      return answer.error
    this.#expect(answer, 202, 'it does not take a portion of the upload')
    this.#sent = last + 1
    return undefined
  }

  /** Asks how much the registry has of what was begun. */
  async #askWhere(begin: number, end: number): Promise<void> {
    const answer = await this.#small({ method: 'GET', where: this.#where() })
    this.#expect(answer, 204, 'it does not say how much of the upload it has')
    const [, last] = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.head.headers.get('range') ?? '') ?? []
    // Of nothing, some say 0-0, which is one byte.
    const has = last === undefined || Number(last) === 0 ? 0 : Number(last) + 1
    if (has < begin || has > end) {
      throw this.#failed(`it has ${has} bytes of the upload, where between ${begin} and ${end} had been sent`)
    }
    this.#sent = has
  }

  #small(request: Omit<RegistryRequest, 'signal' | 'takeBody'>): Promise<ClientAnswer> {
    return this.#repository.sendSmall({ ...request, signal: this.#signal })
  }

  /** Where the next request goes: each answer says it anew. */
  #where(): URL {
    if (this.#location === undefined) throw new RangeError('the upload has not begun')
    return new URL(this.#location)
  }

  #expect({ head: { status, headers }, error }: ClientAnswer, wanted: number, what: string): void {
    if (error !== undefined) throw error
    const isRight =
      status === wanted || (wanted === 204 && status === 202) || (wanted === 202 && status === 204)
    if (!isRight) throw this.#failed(`${what}: HTTP ${status}`)
    const location = headers.get('location')
    if (location === undefined) {
      if (this.#location === undefined) throw this.#failed('it says nowhere to send the data')
      return
    }
    if (!URL.canParse(location, this.#location?.href ?? this.#repository.locate('').href)) {
      throw this.#failed('it says no place to send the data to')
    }
    // After the closing request it is the blob's own.
    if (wanted !== 201)
      this.#location = this.#repository.locate(new URL(location, this.#repository.locate('')))
  }

  #failed(reason: string): PushFailedError {
    return new PushFailedError({ reference: this.#reference, reason: `${this.#repository.host}: ${reason}` })
  }
}

// oxlint-disable-next-line typescript/require-await -- what is sent is an asynchronous iterable
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
