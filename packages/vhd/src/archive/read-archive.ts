import type { Envelope } from '@disk-image/core'
import {
  envelopeOf,
  GzipDecoder,
  GzipError,
  type MemberSink,
  type TarEntry,
  type TarProblem,
  TarReader,
} from '@disk-image/disk'
import { XenserverArchiveError, type XenserverArchiveErrorInit } from '../errors.ts'
import { ratioFloorBytes, type ResolvedLimits } from './limits.ts'
import { judgeName, judgeType, quoted } from './member-name.ts'

/** A disk in an archive. */
export interface ArchiveMember {
  /** 0 is the leaf. */
  readonly index: number
  /** `0.vhd`, `1.vhd` … */
  readonly name: string
  readonly sizeBytes: number
}

/** Takes the bytes of a disk, when `end` has been called all of them. */
export interface DiskSink extends MemberSink {
  end(): Promise<void>
}

/** Enough to tell a tar archive from what is compressed. */
const headBytes = 512

const rules: Readonly<Record<TarProblem, string>> = {
  attributes: 'member-type',
  cut: 'archive-truncated',
  damaged: 'tar-damaged',
  empty: 'chain-empty',
  kind: 'member-type',
  size: 'member-size',
  sparse: 'member-sparse',
  trailing: 'trailing-data',
}

/**
 * Reads an archive while it arrives, a tar.gz or a plain tar. Only disks are handed on; everything that no archive of
 * XenServer has is refused.
 */
export class ArchiveReader implements Envelope {
  /** Of the disks that have come. */
  readonly names: Set<string> = new Set()
  readonly #limits: ResolvedLimits
  readonly #tar: TarReader
  #gzip: GzipDecoder | undefined
  /** The first bytes, until there are enough of them. */
  #head: Uint8Array | undefined = new Uint8Array()
  #storedBytes = 0
  #unpackedBytes = 0
  #entries = 0
  #leftBytes: number

  /** @param open is asked for each disk, in the archive's order */
  constructor(limits: ResolvedLimits, open: (member: ArchiveMember) => Promise<DiskSink>) {
    this.#limits = limits
    this.#leftBytes = limits.maxBytes
    this.#tar = new TarReader({
      judge: (entry, offset) => this.#judge(entry, offset),
      open: ({ name, sizeBytes }) => {
        const index = indexOf(name)
        return index === undefined ? undefined : open({ index, name: `${index}.vhd`, sizeBytes })
      },
      refuse: (reason, offset, problem) =>
        new XenserverArchiveError({ rule: rules[problem], reason, offset }),
    })
  }

  /** @throws {XenserverArchiveError} and what the sinks throw */
  async write(chunk: Uint8Array): Promise<void> {
    this.#storedBytes += chunk.length
    if (this.#head === undefined) return this.#pass(chunk)
    this.#head = Buffer.concat([this.#head, chunk])
    if (this.#head.length >= headBytes) await this.#begin(this.#head)
  }

  async end(): Promise<void> {
    if (this.#head !== undefined) await this.#begin(this.#head)
    await this.#explained(() => void this.#gzip?.end())
    await this.#tar.end()
    this.#checkComplete()
  }

  close(): Promise<void> {
    this.#gzip?.destroy()
    return Promise.resolve()
  }

  async #begin(head: Uint8Array): Promise<void> {
    this.#head = undefined
    if (envelopeOf(head) !== 'tar') this.#gzip = new GzipDecoder((bytes) => this.#unpacked(bytes))
    await this.#pass(head)
  }

  #pass(chunk: Uint8Array): Promise<void> {
    const gzip = this.#gzip
    return gzip === undefined ? this.#tar.write(chunk) : this.#explained(() => gzip.write(chunk))
  }

  async #unpacked(bytes: Uint8Array): Promise<void> {
    this.#unpackedBytes += bytes.length
    const { maxCompressionRatio } = this.#limits
    if (
      this.#unpackedBytes > ratioFloorBytes &&
      this.#unpackedBytes > this.#storedBytes * maxCompressionRatio
    ) {
      throw new XenserverArchiveError({
        rule: 'compression-ratio',
        reason: 'it unpacks to far more than disks do',
        found: `${this.#unpackedBytes} bytes from ${this.#storedBytes}`,
        accepted: `${maxCompressionRatio} times its size`,
        offset: this.#unpackedBytes,
      })
    }
    await this.#tar.write(bytes)
  }

  async #explained(act: () => Promise<void> | void): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!(error instanceof GzipError)) throw error
      const { offset, found, accepted, message: reason } = error
      const rule = error.problem === 'trailing' ? 'gzip-trailing' : 'gzip-damaged'
      throw new XenserverArchiveError({ rule, reason, offset, found, accepted, cause: error })
    }
  }

  /** @throws {XenserverArchiveError} for what no archive of XenServer has */
  #judge({ name, type, storedBytes, linkName, isSparse }: TarEntry, offset: number): void {
    const refuse = (init: Omit<XenserverArchiveErrorInit, 'member'>): never => {
      throw new XenserverArchiveError({ member: quoted(name), offset, ...init })
    }
    this.#entries += 1
    const { maxMembers } = this.#limits
    if (this.#entries > maxMembers) {
      refuse({ rule: 'member-count', reason: `the archive has more than ${maxMembers} entries` })
    }
    const verdict = judgeName(name)
    if (verdict.action === 'refuse') refuse(verdict.refusal)
    const isTaken = verdict.action === 'take'
    const refusal = judgeType({ type: name.endsWith('/') ? '5' : type, linkName, isSparse }, isTaken)
    if (refusal !== undefined) refuse(refusal)
    if (storedBytes > this.#leftBytes) {
      const found = `${storedBytes} bytes, ${this.#leftBytes} are left`
      refuse({ rule: 'size-limit', reason: 'the archive unpacks to more than it may', found })
    }
    this.#leftBytes -= storedBytes
    if (verdict.action !== 'take') return
    const fileName = `${verdict.index}.vhd`
    if (this.names.has(fileName)) refuse({ rule: 'member-duplicate', reason: 'the archive has it twice' })
    this.names.add(fileName)
  }

  #checkComplete(): void {
    const { names } = this
    const missing = [...names].map((_, index) => `${index}.vhd`).find((name) => !names.has(name))
    if (names.size === 0 || missing === '0.vhd') {
      const accepted = '0.vhd, 1.vhd …'
      throw new XenserverArchiveError({ rule: 'chain-empty', reason: 'it has no 0.vhd', accepted })
    }
    if (missing === undefined) return
    const reason = `it has no ${missing}, but a later one`
    throw new XenserverArchiveError({ rule: 'chain-gap', reason, found: [...names].join(', ').slice(0, 200) })
  }
}

function indexOf(name: string): number | undefined {
  const verdict = judgeName(name)
  return verdict.action === 'take' ? verdict.index : undefined
}
