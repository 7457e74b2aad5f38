import {
  type Envelope,
  ImageUnacceptableError,
  printableAscii,
  ProcessExecutionError,
  type ProcessRunner,
} from '@disk-image/core'
import type {
  EnvelopeName,
  MemberSink,
  Ovf,
  OvfDisk,
  UnwrappedImage,
  UnwrapperOptions,
} from '@disk-image/disk'
import { openCommandEnvelope } from '@disk-image/host'
import type { ContainerFormat } from '../route/route.ts'

/** What an image was taken out of. */
export interface Unwrapped {
  /** From the outside to the inside. */
  readonly opened: readonly EnvelopeName[]
  /** The member of an archive. */
  readonly disk: string | undefined
  /** What an OVA says of the machine that had the disk; undefined without a descriptor. */
  readonly machine: Ovf | undefined
  /** Whether a manifest was there, and right. */
  readonly hasManifest: boolean
}

/** Who takes a disk of an archive. */
export interface DiskWish {
  /** Its file's name, its name or its id in the descriptor; undefined where the order tells. */
  readonly disk: string | undefined
  readonly sink: MemberSink
}

/**
 * Which disk of an archive goes to whom: by name, or all of them in the order in which the machine has them. An image
 * that is in no archive is the only disk.
 */
export class DiskChoice {
  readonly #imageId: string
  readonly #wishes: readonly DiskWish[]
  readonly #taken = new Map<DiskWish, string>()
  readonly #names: string[] = []

  constructor(imageId: string, wishes: readonly DiskWish[]) {
    this.#imageId = imageId
    this.#wishes = wishes
  }

  /** @throws {ImageUnacceptableError} where it is not clear which disk is meant, before anything of it is written */
  open(image: UnwrappedImage, ovf: Ovf | undefined): MemberSink | undefined {
    const { name = '', described } = image
    this.#names.push(described?.name === undefined ? name : `${name} (${described.name})`)
    const isNamed = this.#isNamed()
    const chosen = ovf && this.assign(ovf)
    const at = described === undefined ? this.#taken.size : (chosen?.indexOf(described) ?? -1)
    const isByName = isNamed && described === undefined
    const wish = isByName ? this.#wishes.find(({ disk }) => isMeant(disk, image)) : this.#wishes[at]
    if (wish === undefined && isNamed) return undefined
    if (wish === undefined || this.#taken.has(wish)) {
      throw this.#refuse(
        'The archive holds more files that may be a disk than there are volumes',
        this.#names,
      )
    }
    this.#taken.set(wish, name)
    return wish.sink
  }

  /**
   * The disk of each wish, as the descriptor has them: by name, or all in the order of the machine.
   *
   * @throws {ImageUnacceptableError} where it has not these, or others too
   */
  assign({ disks }: Ovf): readonly OvfDisk[] {
    const inOrder = disks.filter(({ file }) => file !== undefined)
    const names = inOrder.map(({ file, name }) => `${file ?? ''}${name === undefined ? '' : ` (${name})`}`)
    if (!this.#isNamed()) {
      if (inOrder.length === this.#wishes.length) return inOrder
      const reason = `The archive holds ${inOrder.length} disks for ${this.#wishes.length} volumes`
      throw this.#refuse(reason, names)
    }
    return this.#wishes.map(({ disk }) => {
      const meant = inOrder.filter((described) => isMeant(disk, { name: described.file, described }))
      const [found] = meant
      if (found !== undefined && meant.length === 1) return found
      const how = found === undefined ? 'no disk' : 'more than one disk'
      throw this.#refuse(`The archive has ${how} ${JSON.stringify(disk ?? '')}`, names)
    })
  }

  #isNamed(): boolean {
    return this.#wishes.some(({ disk }) => disk !== undefined)
  }

  /** The member that went to a wish. */
  memberOf(wish: DiskWish): string | undefined {
    return this.#taken.get(wish)
  }

  /** @throws {ImageUnacceptableError} where a disk that was asked for is not there */
  end(): void {
    const missing = this.#wishes.find((wish) => !this.#taken.has(wish))
    if (missing === undefined) return
    const which =
      missing.disk === undefined ? 'as many disks as volumes' : `disk ${JSON.stringify(missing.disk)}`
    throw this.#refuse(`The archive has no ${which}`, this.#names)
  }

  #refuse(reason: string, names: readonly string[]): ImageUnacceptableError {
    const found = printableAscii(names.join(', '), 200)
    const accepted = 'one volume for each disk, or the disk to take by its name (disk, --disk)'
    return new ImageUnacceptableError({
      imageId: this.#imageId,
      rule: 'archive-disks',
      reason,
      found,
      accepted,
    })
  }
}

function isMeant(
  wanted: string | undefined,
  { name, described }: Pick<UnwrappedImage, 'name' | 'described'>,
): boolean {
  return wanted !== undefined && [name, described?.id, described?.name].includes(wanted)
}

/** What the outermost envelope of an image must be. */
export function expectedOf(container: ContainerFormat): UnwrapperOptions['expected'] {
  return container === 'archive' || container === 'containerdisk' ? container : 'compressed'
}

const megabyte = 1024 ** 2

/** A decompressor for what Node.js does not unpack itself: the tool of the same name, in the sandbox. */
export function openToolEnvelope(
  runner: ProcessRunner,
  name: 'xz' | 'bzip2',
  sink: MemberSink,
  { imageId, signal }: { readonly imageId: string; readonly signal?: AbortSignal | undefined },
): Envelope {
  // The window is bounded: xz -9 needs 65 MiB.
  const args =
    name === 'xz' ? ['--decompress', '--stdout', '--format=xz', '--memlimit-decompress=128MiB'] : ['-dc']
  const envelope = openCommandEnvelope(sink, {
    runner,
    command: { file: name, args },
    limits: { addressSpaceBytes: 1024 * megabyte },
    signal,
  })
  const explained = async (act: Promise<void> | void): Promise<void> => {
    try {
      await act
    } catch (error) {
      if (!(error instanceof ProcessExecutionError) || error.endReason !== 'exit') throw error
      throw new ImageUnacceptableError({
        imageId,
        rule: 'compressed-container',
        reason: `The compressed data is broken: ${name} can't unpack it`,
        found: printableAscii(error.stderr.trim().split('\n')[0] ?? '', 120),
        accepted: `whole data of ${name}, with a window of at most 64 MiB`,
        cause: error,
      })
    }
  }
  return {
    write: (chunk) => explained(envelope.write(chunk)),
    end: () => explained(envelope.end()),
    close: () => envelope.close(),
  }
}
