import path from 'node:path'
import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidError } from '@disk-image/core'
import type { CallOptions, ImageRecord, ImageService, RequestContext } from '@disk-image/core'
import { createDirectoryImageService } from '@disk-image/image-utils/directory'
import { preparePrivateFolder } from '@disk-image/host'
import { syncFolder } from '@disk-image/io'
import type { LeaseStore } from '../lease/lease.ts'
import { downloadPartial } from './download-partial.ts'

/** Where images are kept on a host. */
export interface ImageCacheOptions {
  /** Absolute path; made when missing, mode 0700. */
  readonly directory: string
  /** What it may hold, in bytes. An image larger than that goes by it. */
  readonly maxBytes: number
  /** Who shares the directory. Give all hosts the same where it is on a shared file system. @default the host */
  readonly sharedBy?: string | undefined
}

/** What the cache was asked, since the worker began. */
export interface CacheCounts {
  hits: number
  misses: number
  /** Bytes that an earlier download had left, and that were not sent again. */
  continuedBytes: number
  evictions: number
}

interface Entry {
  readonly name: string
  readonly sizeBytes: number
  readonly usedMs: number
}

/**
 * Images on this host, each downloaded once however many volumes are made of it, and whatever becomes of the worker
 * that began. A file has its final name only when it is whole and its hash was right; the hash is verified again
 * with every use, by the folder store that reads it.
 */
export class ImageCache {
  readonly directory: string
  readonly counts: CacheCounts = { hits: 0, misses: 0, continuedBytes: 0, evictions: 0 }
  readonly #maxBytes: number
  readonly #sharedBy: string
  readonly #leases: LeaseStore
  readonly #store: ImageService
  readonly #used = new Map<string, number>()

  constructor(options: ImageCacheOptions, leases: LeaseStore, host: string) {
    if (!Number.isSafeInteger(options.maxBytes) || options.maxBytes < 1) {
      throw new InvalidError({ reason: 'The size of the cache must be a number of bytes above 0.' })
    }
    this.directory = options.directory
    this.#store = createDirectoryImageService({ directory: options.directory })
    this.#maxBytes = options.maxBytes
    this.#sharedBy = options.sharedBy ?? host
    this.#leases = leases
  }

  /**
   * Makes the directory where it is missing.
   *
   * @throws {InvalidError} where others than this user and root may write to it, or to one above it
   */
  prepare(): Promise<void> {
    return preparePrivateFolder(this.directory, 'folder of the cache')
  }

  /** Whether an image of this size may be kept. */
  admits(sizeBytes: number): boolean {
    return sizeBytes <= this.#maxBytes
  }

  /** The folder store that has the kept images, under the names of their hashes. */
  get store(): ImageService {
    return this.#store
  }

  /**
   * Sees to it that an image is there, and stays while it is used.
   *
   * @returns to be called when it is no longer used
   */
  async hold(
    name: string,
    source: {
      readonly imageService: ImageService
      readonly context: RequestContext
      readonly record: ImageRecord
    },
    call: CallOptions,
  ): Promise<() => void> {
    this.#use(name, 1)
    try {
      for (let downloaded = false; ;) {
        call.signal?.throwIfAborted()
        if (await this.#has(name)) {
          if (!downloaded) this.counts.hits += 1
          await utimes(this.#file(name, '.data'), new Date(), new Date()).catch(() => undefined)
          return () => this.#use(name, -1)
        }
        // Whoever has the lease downloads; everybody else waits for the file, or for the lease.
        const destination = `cache:${this.#sharedBy}:${this.directory}/${name}`
        const answer = await this.#leases.acquire({
          destinations: [destination],
          jobId: 'cache',
          submission: '',
        })
        if (!('lease' in answer)) {
          await delay(100 + Math.random() * 200, undefined, { signal: call.signal })
          continue
        }
        const { lease } = answer
        try {
          if (await this.#has(name)) continue
          this.counts.misses += 1
          downloaded = true
          const signal = AbortSignal.any([lease.signal, ...(call.signal === undefined ? [] : [call.signal])])
          await this.#download(name, source, { ...call, signal }, () => lease.ensure())
        } finally {
          await lease.release()
        }
      }
    } catch (error) {
      this.#use(name, -1)
      throw error
    }
  }

  /** Forgets an image, because what was kept is not what it should be. */
  async drop(name: string): Promise<void> {
    await rm(this.#file(name, '.json'), { force: true })
    await rm(this.#file(name, '.data'), { force: true })
  }

  /**
   * Removes what broken downloads left, but for those that go on.
   *
   * @param olderThanMs how long nothing must have been written to it: a young one may be continued
   */
  async clean(olderThanMs: number = 0): Promise<string[]> {
    const removed: string[] = []
    for (const file of await readdir(this.directory).catch(() => [])) {
      if (!file.endsWith('.partial')) continue
      const found = await stat(path.join(this.directory, file)).catch(() => undefined)
      if (found === undefined || Date.now() - found.mtimeMs < olderThanMs) continue
      const destination = `cache:${this.#sharedBy}:${this.directory}/${file.replace(/(\.json)?\.partial$/, '')}`
      const answer = await this.#leases.acquire({
        destinations: [destination],
        jobId: 'cache',
        submission: '',
      })
      if (!('lease' in answer)) continue
      await rm(path.join(this.directory, file), { force: true })
      await answer.lease.release()
      removed.push(path.join(this.directory, file))
    }
    return removed
  }

  async #download(
    name: string,
    source: {
      readonly imageService: ImageService
      readonly context: RequestContext
      readonly record: ImageRecord
    },
    call: CallOptions,
    check: () => Promise<void>,
  ): Promise<void> {
    const { record } = source
    await this.prepare()
    const partial = this.#file(name, '.partial')
    await this.#makeRoom(record.size ?? 0, partial)
    const continuedBytes = await downloadPartial(partial, source, call, check)
    this.counts.continuedBytes += continuedBytes
    const { os_hash_algo, os_hash_value, size } = record
    const kept: ImageRecord = {
      id: name,
      status: 'active',
      size,
      os_hash_algo,
      os_hash_value,
      properties: {},
    }
    await check()
    // The record comes last: with it the image counts as there.
    await rename(partial, this.#file(name, '.data'))
    const recordPartial = this.#file(name, '.json.partial')
    await writeFile(recordPartial, JSON.stringify(kept), { mode: 0o600, flush: true })
    await rename(recordPartial, this.#file(name, '.json'))
    await syncFolder(this.directory)
  }

  /** Forgets what was not used for longest, until there is room. What is in use stays. */
  async #makeRoom(neededBytes: number, own: string): Promise<void> {
    const entries = (await this.#entries('.data')).toSorted((left, right) => left.usedMs - right.usedMs)
    // Other downloads on their way take room, too.
    const others = (await this.#entries('.partial')).filter(
      ({ name }) => this.#file(name, '.partial') !== own,
    )
    let sizeBytes = [...entries, ...others].reduce((sum, entry) => sum + entry.sizeBytes, 0)
    for (const entry of entries) {
      if (sizeBytes + neededBytes <= this.#maxBytes) return
      if ((this.#used.get(entry.name) ?? 0) > 0) continue
      await this.drop(entry.name)
      this.counts.evictions += 1
      sizeBytes -= entry.sizeBytes
    }
  }

  async #entries(suffix: '.data' | '.partial'): Promise<Entry[]> {
    const names = await readdir(this.directory).catch(() => [])
    const entries: Entry[] = []
    for (const file of names.filter((name) => name.endsWith(suffix))) {
      const found = await stat(path.join(this.directory, file)).catch(() => undefined)
      if (found === undefined) continue
      entries.push({ name: file.slice(0, -suffix.length), sizeBytes: found.size, usedMs: found.mtimeMs })
    }
    return entries
  }

  async #has(name: string): Promise<boolean> {
    const both = ['.json', '.data'].map((suffix) => stat(this.#file(name, suffix)))
    return Promise.all(both).then(
      () => true,
      () => false,
    )
  }

  #use(name: string, change: number): void {
    const count = (this.#used.get(name) ?? 0) + change
    if (count === 0) this.#used.delete(name)
    else this.#used.set(name, count)
  }

  #file(name: string, suffix: string): string {
    return path.join(this.directory, `${name}${suffix}`)
  }
}
