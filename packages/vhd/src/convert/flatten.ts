import { type CallOptions, type Disk, InvalidError, MiB } from '@disk-image/core'
import { encodeDisk } from '@disk-image/disk'
import {
  type ChainRules,
  DynamicVhdWriter,
  maximumDiskBytes,
  roundUp,
  sectorBytes,
} from '@disk-image/disk/vhd'
import { iterateUnlessAborted } from '@disk-image/io'
import { type ChainSource, openVhdChain } from '../chain/open-chain.ts'
import { makeFile, type ReplaceOption } from '../files/new-file.ts'
import { createTarget, type FileTarget, writeWithHoles } from '../files/vhd-file.ts'
import { type DynamicVhdOptions, type FixedVhdOptions, newIdentity } from './streams.ts'

/** Options of {@link flattenChain}. */
export interface FlattenOptions
  extends CallOptions, ChainRules, ReplaceOption, Pick<FixedVhdOptions, 'alignBytes'> {
  /** What the file becomes. @default 'raw' */
  readonly format?: 'raw' | 'fixed' | 'dynamic' | undefined
  /** In whose way a dynamic disk is made. @default 'xenserver' */
  readonly style?: DynamicVhdOptions['style']
}

/**
 * Writes a VHD or a chain, leaf first, as one new file: raw or fixed with holes for zeros, or dynamic. The file
 * must not exist, unless it is to be replaced; on any failure there is what was before.
 *
 * @throws {InvalidError} where an option is wrong
 * @throws {VhdError} with the rule that a disk or the chain breaks
 */
export async function flattenChain(
  sources: ChainSource | readonly ChainSource[],
  destinationPath: string,
  options: FlattenOptions = {},
): Promise<void> {
  options.signal?.throwIfAborted()
  await using chain = await openVhdChain(sources, options)
  await writeNew(destinationPath, (target) => writeAs(chain, target, options), options)
}

async function writeAs(chain: Disk, target: FileTarget, options: FlattenOptions): Promise<void> {
  const { format = 'raw', signal, onProgress, style, alignBytes = MiB } = options
  if (format === 'dynamic') {
    const writer = new DynamicVhdWriter(target, chain.size, { style, ...newIdentity(undefined) })
    await chain.copyTo(
      { data: (offset, bytes) => writer.data(offset, bytes), zero: () => undefined },
      { signal, onProgress },
    )
    await writer.end(() => target.sync())
    return
  }
  const image = await encodeDisk(chain, {
    ...(format === 'raw' ? { format } : { format: 'vpc', subformat: format }),
    vpc: { alignBytes, ...newIdentity(undefined) },
    signal,
  })
  // A new file reads as zero wherever nothing is written.
  const zero = (): Promise<void> => Promise.resolve()
  const write = (bytes: Uint8Array, offset: number): Promise<void> => writeWithHoles(target, bytes, offset)
  await target.truncate(await image.writeTo({ write, zero }, { signal, onProgress }))
  await target.sync()
}

/** Options of {@link writeDynamicVhd}. */
export interface WriteDynamicOptions extends DynamicVhdOptions {
  /** Bytes of the raw disk, exactly. */
  readonly sizeBytes: number
}

/**
 * Writes a raw disk that arrives as a stream as a new dynamic VHD. Blocks of zeros take no room. The file must
 * not exist; on any failure it is removed.
 *
 * @throws {InvalidError} where the stream has not exactly `sizeBytes` bytes
 */
export async function writeDynamicVhd(
  source: AsyncIterable<Uint8Array>,
  destinationPath: string,
  options: WriteDynamicOptions,
): Promise<void> {
  const { sizeBytes, signal, onProgress } = options
  signal?.throwIfAborted()
  if (
    !Number.isSafeInteger(sizeBytes) ||
    sizeBytes < 0 ||
    roundUp(sizeBytes, sectorBytes) > maximumDiskBytes
  ) {
    throw new InvalidError({ reason: `sizeBytes is ${sizeBytes}; a whole number up to 2040 GiB is right` })
  }
  await writeNew(destinationPath, async (target) => {
    const writer = new DynamicVhdWriter(target, sizeBytes, {
      style: options.style,
      ...newIdentity(options.uniqueId),
    })
    let offset = 0
    for await (const bytes of iterateUnlessAborted(source, signal)) {
      signal?.throwIfAborted()
      if (offset + bytes.length > sizeBytes) break
      await writer.data(offset, bytes)
      offset += bytes.length
      onProgress?.({ stage: 'convert', completed: offset, total: sizeBytes, unit: 'bytes' })
    }
    signal?.throwIfAborted()
    if (offset !== sizeBytes) {
      throw new InvalidError({ reason: `the stream has not the ${sizeBytes} bytes that sizeBytes says` })
    }
    await writer.end(() => target.sync())
  })
}

function writeNew(
  path: string,
  write: (target: FileTarget) => Promise<void>,
  options: ReplaceOption = {},
): Promise<void> {
  return makeFile(path, options, async (temporary) => {
    const target = await createTarget(temporary)
    try {
      await write(target)
      await target.sync()
    } finally {
      await target.close()
    }
  })
}
