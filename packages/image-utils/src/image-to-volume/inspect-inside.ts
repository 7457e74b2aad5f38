import { ImageError, MiB, type Refusal } from '@disk-image/core'
import { type EnvelopeName, type UnwrappedImage, Unwrapper } from '@disk-image/disk'
import { createInspector, type InspectionResult, type Inspector } from '@disk-image/format-policy/inspector'
import type { Services } from '../services/services.ts'
import type { DescribedSource } from '../sources/sources.ts'
import { containerOf } from './job.ts'
import { expectedOf, openToolEnvelope } from './unwrap.ts'

/** So many bytes of a source are looked into, and so many may come out of them. */
const lookedAtBytes = 8 * MiB
const unpackedBytes = 256 * MiB
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
  /** Why no more was opened. */
  readonly problem: Pick<Refusal, 'rule' | 'reason'> | undefined
}

/** Takes the first 8 MiB of a source that is wrapped, and inspects what is inside. Close it. */
export class InsideInspector implements AsyncDisposable {
  readonly #unwrapper: Unwrapper
  readonly #disks: { name: string | undefined; inspector: Inspector; isWhole: boolean }[] = []
  #left = lookedAtBytes
  #isCut = false
  #problem: InsideReport['problem']

  constructor(services: Services, imageId: string, container: 'compressed' | 'archive' | 'containerdisk') {
    this.#unwrapper = new Unwrapper({
      imageId,
      expected: expectedOf(container),
      maxBytes: unpackedBytes,
      open: (image) => this.#open(image),
      openWithTool: (name, sink) => openToolEnvelope(services.runner, name, sink, { imageId }),
    })
  }

  /** Whether no more bytes are wanted. */
  get isDone(): boolean {
    return this.#left === 0 || this.#problem !== undefined
  }

  /** Takes the next bytes of the source; none where it is done. */
  async write(chunk: Uint8Array): Promise<void> {
    const part = chunk.subarray(0, this.#problem === undefined ? this.#left : 0)
    this.#left -= part.length
    this.#isCut ||= part.length < chunk.length
    if (part.length > 0) await this.#explained(() => this.#unwrapper.write(part))
  }

  /** @param isWhole whether these were all bytes of the source */
  async end(isWhole: boolean): Promise<InsideReport> {
    const isCut = this.#isCut || !isWhole
    // Of a part the end is missing, which says nothing; but what is still on its way comes.
    if (isCut) await this.#unwrapper.end().catch(() => undefined)
    else if (this.#problem === undefined) await this.#explained(() => this.#unwrapper.end())
    const disks = this.#disks.map(({ name, inspector, isWhole: isEnded }) => ({
      name,
      inspection: isEnded ? inspector.end() : inspector.headVerdict(),
      isWhole: isEnded,
    }))
    return { opened: this.#unwrapper.opened, disks, problem: this.#problem }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unwrapper.close()
  }

  #open({ name }: UnwrappedImage): { write(bytes: Uint8Array): void; end(): void } | undefined {
    if (this.#disks.length >= mostDisks) return undefined
    const disk = { name, inspector: createInspector(), isWhole: false }
    this.#disks.push(disk)
    return {
      write: (bytes) => disk.inspector.write(bytes),
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
