import { ImageError, MiB, type Refusal } from '@disk-image/core'
import { type EnvelopeName, type UnwrappedImage, Unwrapper } from '@disk-image/disk'
import { createInspector, type InspectionResult, type Inspector } from '@disk-image/format-policy/inspector'
import type { Services } from '../services/services.ts'
import type { DescribedSource } from '../sources/sources.ts'
import { headBytes } from '../route/formats.ts'
import { containerOf } from './job.ts'
import { expectedOf, openToolEnvelope } from './unwrap.ts'

/** So many bytes of a source are looked into, and so many times as many may come out of them. */
const lookedAtBytes = 8 * MiB
const mostRatio = 24
/** Whoever packs more files that may be disks has no disk to show. */
const mostDisks = 64

/** What an {@link InsideInspector} found. */
export interface InsideReport {
  /** From the outside to the inside. */
  readonly opened: readonly EnvelopeName[]
  /** Every file that may be a disk, up to where it was looked. */
  readonly disks: readonly {
    /** The member of an archive. */
    readonly name: string | undefined
    /** Undefined where too little of it came. */
    readonly inspection: InspectionResult | undefined
    /** Whether all of it was seen; otherwise it is judged by its head. */
    readonly isWhole: boolean
  }[]
  /** Disks that an OVA's descriptor names, of which nothing was seen. */
  readonly unseen: readonly string[]
  /** Why no more was opened. */
  readonly problem: Pick<Refusal, 'rule' | 'reason'> | undefined
}

/**
 * Takes the first 8 MiB of a source that is wrapped, and inspects what is inside; of an OVA as much as shows each of its
 * disks. Close it.
 */
export class InsideInspector implements AsyncDisposable {
  readonly #unwrapper: Unwrapper
  readonly #disks: { name: string | undefined; inspector: Inspector; isWhole: boolean; bytes: number }[] = []
  #left = lookedAtBytes
  #isCut = false
  /** Whether as much has come out as is looked at. */
  #isFull = false
  #problem: InsideReport['problem']

  constructor(services: Services, imageId: string, container: 'compressed' | 'archive' | 'containerdisk') {
    this.#unwrapper = new Unwrapper({
      imageId,
      expected: expectedOf(container),
      maxBytes: Number.MAX_SAFE_INTEGER,
      maxRatio: mostRatio,
      open: (image) => this.#open(image),
      openWithTool: (name, sink) => openToolEnvelope(services.runner, name, sink, { imageId }),
    })
  }

  /** Whether no more bytes are wanted. */
  get isDone(): boolean {
    return this.#isFull || this.#problem !== undefined || (this.#left === 0 && !this.#isUnshown)
  }

  /**
   * How many bytes of the source can be left out before the next `write`: what is left of a disk whose head was seen,
   * where another one follows it.
   */
  passOver(): number {
    const isSeen = (this.#disks.at(-1)?.bytes ?? 0) > headBytes
    const skipped = isSeen && this.#unseen.length > 0 ? this.#unwrapper.passOver() : 0
    this.#isCut ||= skipped > 0
    return skipped
  }

  /** Whether the head of a disk is still to come that a descriptor names. */
  get #isUnshown(): boolean {
    const last = this.#disks.at(-1)
    const isBegun = last !== undefined && !last.isWhole && last.bytes <= headBytes
    return this.#unseen.length > 0 || (isBegun && this.#unwrapper.ovf !== undefined)
  }

  get #unseen(): readonly string[] {
    const seen = new Set(this.#disks.map(({ name }) => name))
    const files = this.#unwrapper.ovf?.disks.flatMap(({ file }) => (file === undefined ? [] : [file])) ?? []
    return files.filter((file) => !seen.has(file))
  }

  /** Takes the next bytes of the source; none where it is done. */
  async write(chunk: Uint8Array): Promise<void> {
    const most = this.#isUnshown ? chunk.length : this.#left
    const part = chunk.subarray(0, this.isDone ? 0 : most)
    this.#left = Math.max(0, this.#left - part.length)
    this.#isCut ||= part.length < chunk.length
    if (part.length > 0) await this.#explained(() => this.#unwrapper.write(part))
  }

  /** @param isWhole whether these were all bytes of the source */
  async end(isWhole: boolean): Promise<InsideReport> {
    const isCut = this.#isCut || !isWhole
    // Of a part the end is missing, which says nothing; but what is still on its way comes.
    if (isCut) await this.#unwrapper.end().catch(() => undefined)
    else if (this.#problem === undefined) await this.#explained(() => this.#unwrapper.end())
    const unseen = this.#problem === undefined ? this.#unseen : []
    const disks = this.#disks.map(({ name, inspector, isWhole: isEnded }) => ({
      name,
      inspection: isEnded ? inspector.end() : inspector.headVerdict(),
      isWhole: isEnded,
    }))
    return { opened: this.#unwrapper.opened, disks, unseen, problem: this.#problem }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unwrapper.close()
  }

  #open({ name }: UnwrappedImage): { write(bytes: Uint8Array): void; end(): void } | undefined {
    if (this.#disks.length >= mostDisks) return undefined
    const disk = { name, inspector: createInspector(), isWhole: false, bytes: 0 }
    this.#disks.push(disk)
    return {
      write: (bytes) => {
        disk.bytes += bytes.length
        disk.inspector.write(bytes)
      },
      end: () => {
        disk.isWhole = true
      },
    }
  }

  async #explained(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!ImageError.is(error)) throw error
      if ((error as Partial<Refusal>).rule === 'decompressed-size') {
        // Our own bound, which says nothing of the image.
        this.#isFull = true
        this.#isCut = true
        return
      }
      const { rule = error.code.toLowerCase().replaceAll('_', '-') } = error as Partial<Refusal>
      this.#problem = { rule, reason: error.message }
    }
  }
}

/** What looks into a source; undefined where it is wrapped in nothing that is opened. */
export function inspectInside(services: Services, source: DescribedSource): InsideInspector | undefined {
  const { record, stored, containerFormat } = source
  const { id, properties } = record ?? { id: stored.name, properties: {} }
  const container = containerOf({ id, properties, container_format: containerFormat }, record !== undefined)
  if (container === 'none' || container === 'xenserver') return undefined
  return new InsideInspector(services, stored.name, container)
}
