import { InvalidError, MiB } from '@disk-image/core'
import type { ReadOptions } from '../chain/extents.ts'
import { footerBytes, maximumDiskBytes, roundUp } from '../format/constants.ts'
import { layOut } from '../format/new-disk.ts'
import type { VhdChain } from '../operations/open-vhd-chain.ts'
import { streamRaw, zeroes, type ByteStream } from './byte-stream.ts'

/** Options of {@link streamFixedVhd}. */
export interface FixedVhdOptions extends ReadOptions {
  /** What the disk's size is rounded up to, with zeros. @default 1 MiB, as Azure wants it */
  readonly alignBytes?: number | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** A fixed disk's size and footer for a disk of so many bytes. */
export function fixedDisk(
  diskBytes: number,
  { alignBytes = MiB, uniqueId }: Pick<FixedVhdOptions, 'alignBytes' | 'uniqueId'>,
): { readonly sizeBytes: number; readonly footer: Uint8Array } {
  const sizeBytes = roundUp(diskBytes, alignBytes)
  if (!(alignBytes >= footerBytes && alignBytes % footerBytes === 0) || sizeBytes > maximumDiskBytes) {
    throw new InvalidError({
      reason: `alignBytes is ${alignBytes}; a multiple of 512 that keeps the disk below 2040 GiB is right`,
    })
  }
  return { sizeBytes, footer: layOut({ type: 'fixed', style: 'windows', sizeBytes, uniqueId }).footer }
}

/** A chain as a fixed VHD: its bytes, zeros up to a whole MiB, and a footer. */
export function streamFixedVhd(chain: VhdChain, options: FixedVhdOptions = {}): ByteStream {
  const { sizeBytes, footer } = fixedDisk(chain.size, options)
  return {
    sizeBytes: sizeBytes + footerBytes,
    async *[Symbol.asyncIterator]() {
      yield* streamRaw(chain, options)
      yield* zeroes(sizeBytes - chain.size)
      yield footer
    },
  }
}
