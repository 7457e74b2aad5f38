import { type CallOptions, type Disk, type EncodedImage, InvalidError, MiB } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { encodeDisk } from '../encode-disk.ts'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { DiskChangedError } from '../errors.ts'
import { SpoolFile } from '../stream/spool-file.ts'
import type { Spool } from '../stream/stream-decoder.ts'
import { encodeTarHeader } from './tar-header.ts'
import { hardwareVersionOf, type OvaMachine, type OvfFile, requireMachine, writeOvf } from './write-ovf.ts'

const blockBytes = 512
/** More digits than any size has: the descriptor is filled up to the length that they would give it. */
const widestSize: number = Number.MAX_SAFE_INTEGER

/** A disk of an OVA. */
export interface OvaDisk {
  /** The name of its file, which ends with `.vmdk`: letters, digits, dots and dashes. */
  readonly name: string
  readonly disk: Disk
}

/** What an OVA is made of. */
export interface OvaContent {
  readonly machine: OvaMachine
  /** In the order in which the machine has them. */
  readonly disks: readonly OvaDisk[]
}

/** Options of {@link encodeOva}. */
export type OvaOptions = Pick<EncodeOptions, 'compressionLevel' | 'workers' | 'spool' | keyof CallOptions>

interface Member {
  readonly name: string
  readonly image: EncodedImage
  readonly capacityBytes: number
}

interface Measure {
  readonly sizeBytes: number
  readonly sha256: string
}

/**
 * Packs disks with the description of their machine: descriptor, manifest of SHA-256, then each disk as a
 * streamOptimized VMDK, in the order that the standard has for archives that are read once through.
 *
 * Descriptor, manifest and headers say how large the disks have become, and stand before them. So what is sent goes
 * through the spool, or, without one, is compressed twice; what is written at its places needs neither.
 *
 * @throws {InvalidError} for a machine, a name or a number of disks that an OVA can't have
 * @see DSP0243
 */
export async function encodeOva(
  { machine, disks }: OvaContent,
  options: OvaOptions = {},
): Promise<EncodedImage> {
  options.signal?.throwIfAborted()
  requireMachine(machine, disks.length)
  requireNames(disks)
  const { spool, compressionLevel, workers } = options
  const { controller = 'lsilogic' } = machine
  const adapterType = controller === 'ide' || controller === 'buslogic' ? controller : 'lsilogic'
  const vmdk = { adapterType, hardwareVersion: hardwareVersionOf(machine) } as const
  const members = await Promise.all(
    disks.map(async ({ name, disk }): Promise<Member> => {
      const image = await encodeDisk(disk, { format: 'vmdk', compressionLevel, workers, vmdk })
      return { name, image, capacityBytes: Math.ceil(disk.size / blockBytes) * blockBytes }
    }),
  )
  const archive = new OvaArchive(machine, members)
  let spooled: Promise<Measure[]> | undefined
  return {
    format: 'ova',
    sizeBytes: undefined,
    temporaryBytes: spool === undefined ? 0 : archive.mostBytes,
    async *open(call = {}) {
      if (spool === undefined) {
        const measures = await archive.measure(call, 2)
        yield* archive.stream(measures, (index) => archive.compressAgain(index, measures, call))
      } else {
        const measures = await (spooled ??= archive.measure(call, 1, spool))
        yield* archive.stream(measures, (index) => readSpool(spool, index, measures, call))
      }
    },
    writeTo: (target, call = {}) => archive.writeTo(target, call),
  }
}

function requireNames(disks: readonly OvaDisk[]): void {
  for (const { name } of disks) {
    if (/^[A-Za-z0-9][\w.-]{0,90}\.vmdk$/.test(name)) continue
    throw new InvalidError({
      reason: `${JSON.stringify(name.slice(0, 100))} is no name of a disk: NAME.vmdk`,
    })
  }
  if (new Set(disks.map(({ name }) => name.toLowerCase())).size < disks.length) {
    throw new InvalidError({ reason: 'two disks of an OVA have one name' })
  }
}

class OvaArchive {
  readonly #machine: OvaMachine
  readonly #members: readonly Member[]
  /** Of descriptor and manifest. */
  readonly #name: string
  readonly #descriptorBytes: number

  constructor(machine: OvaMachine, members: readonly Member[]) {
    this.#machine = machine
    this.#members = members
    this.#name =
      machine.name
        .replaceAll(/[^A-Za-z0-9_.-]+/g, '-')
        .replace(/^[-.]+/, '')
        .slice(0, 80) || 'machine'
    this.#descriptorBytes = Buffer.byteLength(writeOvf(machine, this.#files()))
  }

  /** What the disks take if nothing can be compressed: a little more than themselves. */
  get mostBytes(): number {
    const disks = this.#members.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0)
    return Math.ceil(disks * (1 + 1 / 64)) + this.#members.length * MiB
  }

  /** Compresses every disk, for its size and digest, and keeps what comes where there is a spool. */
  async measure(call: CallOptions, runs: 1 | 2, spool?: Spool): Promise<Measure[]> {
    const measures: Measure[] = []
    let offset = 0
    if (spool !== undefined) {
      await using file = await SpoolFile.open(spool.file)
      if ((await file.sizeBytes()) > 0)
        throw new InvalidError({ reason: 'The spool of an image is not empty.' })
    }
    for (const [index, { image }] of this.#members.entries()) {
      const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
      const start = offset
      for await (const chunk of image.open(this.#progress(call, index, runs))) {
        hash.update(chunk)
        await spool?.write(chunk, offset)
        offset += chunk.length
      }
      measures.push({ sizeBytes: offset - start, sha256: hash.digest('hex') })
    }
    return measures
  }

  /** @throws {DiskChangedError} where it does not become the same */
  async *compressAgain(
    index: number,
    measures: readonly Measure[],
    call: CallOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    const { sizeBytes, sha256 } = measures[index] as Measure
    const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
    let length = 0
    const run = this.#progress(call, this.#members.length + index, 2)
    for await (const chunk of (this.#members[index] as Member).image.open(run)) {
      length += chunk.length
      if (length > sizeBytes) break
      hash.update(chunk)
      yield chunk
    }
    if (length !== sizeBytes || hash.digest('hex') !== sha256) {
      throw new DiskChangedError('it was compressed to something else', 0)
    }
  }

  async *stream(
    measures: readonly Measure[],
    contentOf: (index: number) => AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, void> {
    yield this.#front(measures)
    for (const [index, { name }] of this.#members.entries()) {
      const { sizeBytes } = measures[index] as Measure
      yield encodeTarHeader(name, sizeBytes)
      yield* contentOf(index)
      yield new Uint8Array(filling(sizeBytes))
    }
    yield new Uint8Array(2 * blockBytes)
  }

  async writeTo(target: Parameters<EncodedImage['writeTo']>[0], call: CallOptions): Promise<number> {
    const measures: Measure[] = []
    let offset = this.#front(this.#members.map(() => ({ sizeBytes: 0, sha256: '0'.repeat(64) }))).length
    for (const [index, { name, image }] of this.#members.entries()) {
      const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
      const start = offset
      offset += blockBytes
      for await (const chunk of image.open(this.#progress(call, index, 1))) {
        hash.update(chunk)
        await target.write(chunk, offset)
        offset += chunk.length
      }
      const sizeBytes = offset - start - blockBytes
      measures.push({ sizeBytes, sha256: hash.digest('hex') })
      await target.write(encodeTarHeader(name, sizeBytes), start)
      if (filling(sizeBytes) > 0) await target.zero(offset, filling(sizeBytes))
      offset += filling(sizeBytes)
    }
    await target.zero(offset, 2 * blockBytes)
    await target.write(this.#front(measures), 0)
    return offset + 2 * blockBytes
  }

  /** Descriptor and manifest, with their headers: as long for any sizes. */
  #front(measures: readonly Measure[]): Uint8Array {
    const text = writeOvf(this.#machine, this.#files(measures))
    const descriptor = Buffer.alloc(this.#descriptorBytes, '\n')
    descriptor.write(text)
    const line = (name: string, sha256: string): string => `SHA256(${name})= ${sha256}\n`
    const manifest = [
      line(
        `${this.#name}.ovf`,
        process.getBuiltinModule('node:crypto').createHash('sha256').update(descriptor).digest('hex'),
      ),
      ...this.#members.map(({ name }, index) => line(name, measures[index]?.sha256 ?? '')),
    ].join('')
    return Buffer.concat([
      ...memberOf(`${this.#name}.ovf`, descriptor),
      ...memberOf(`${this.#name}.mf`, Buffer.from(manifest)),
    ])
  }

  #files(measures?: readonly Measure[]): OvfFile[] {
    return this.#members.map(({ name, capacityBytes }, index) => ({
      name,
      capacityBytes,
      sizeBytes: measures?.[index]?.sizeBytes ?? widestSize,
    }))
  }

  /** Bytes of all disks, as often as they are read. @param index of the disk, counted over all runs */
  #progress({ signal, onProgress }: CallOptions, index: number, runs: 1 | 2): CallOptions {
    const sizes = this.#members.map(({ capacityBytes }) => capacityBytes)
    const all = Array.from({ length: runs }, () => sizes).flat()
    const sum = (some: readonly number[]): number => some.reduce((one, other) => one + other, 0)
    const before = sum(all.slice(0, index))
    return {
      signal,
      onProgress: (one) => onProgress?.({ ...one, completed: before + one.completed, total: sum(all) }),
    }
  }
}

function memberOf(name: string, bytes: Uint8Array): Uint8Array[] {
  return [encodeTarHeader(name, bytes.length), bytes, new Uint8Array(filling(bytes.length))]
}

/** What a member is filled up with. */
function filling(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes
}

async function* readSpool(
  spool: Spool,
  index: number,
  measures: readonly Measure[],
  { signal }: CallOptions,
): AsyncGenerator<Uint8Array, void, void> {
  await using file = await SpoolFile.open(spool.file)
  const buffer = allocateBuffer(MiB)
  let offset = measures.slice(0, index).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  for (let left = measures[index]?.sizeBytes ?? 0; left > 0;) {
    signal?.throwIfAborted()
    const bytes = buffer.subarray(0, Math.min(left, buffer.length))
    await file.readFully(bytes, offset)
    yield bytes
    offset += bytes.length
    left -= bytes.length
  }
}
