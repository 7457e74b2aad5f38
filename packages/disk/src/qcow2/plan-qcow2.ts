import type { RandomAccessReader } from '@disk-image/core'
import type { Qcow2Header } from './header.ts'
import { judgeHeader } from './judge-header.ts'
import { headBytes } from './limits.ts'
import { Qcow2DecodeError } from './qcow2-decode-error.ts'

/** How many of a file's first bytes {@link planQcow2} looks at. A file that is shorter is read as it is. */
export const qcow2PlanBytes: number = headBytes

/** Options of {@link planQcow2}. */
export interface PlanQcow2Options {
  /** A larger virtual disk is not supported. @default none */
  readonly maximumVirtualSizeBytes?: number | undefined
}

/** Whether the decoder understands an image completely, going by its header. */
export type Qcow2Plan =
  | {
      readonly supported: true
      readonly version: 2 | 3
      readonly virtualSizeBytes: number
      readonly clusterSize: number
      readonly compression: 'zlib' | 'zstd'
      /** Internal snapshots that are there; only the active state is read. */
      readonly snapshotCount: number
      /** Byte behind the active L1 table: decoding can't start before the file is so long. */
      readonly startsAtBytes: number
    }
  | {
      readonly supported: false
      /** One sentence: the image is left to qemu-img because … */
      readonly reason: string
    }

/**
 * Says from the first {@link qcow2PlanBytes} bytes whether the decoder takes an image: version 2 or 3, zlib or
 * zstd, clusters of 512 B to 2 MiB; no backing or data file, no encryption, no extended L2 entries, no persistent
 * bitmaps, no unknown incompatible feature, neither dirty nor corrupt. Everything else is for qemu-img.
 *
 * Tables are not read: {@link decodeQcow2} may still refuse what this supports.
 */
export async function planQcow2(
  source: Uint8Array | RandomAccessReader,
  options: PlanQcow2Options = {},
): Promise<Qcow2Plan> {
  const head = source instanceof Uint8Array ? source : await source.read(0, headBytes)
  const verdict = judge(head, options)
  if ('reason' in verdict)
    return { supported: false, reason: `The image is left to qemu-img: ${verdict.reason}.` }
  const { version, virtualSizeBytes, clusterSize, compression, snapshotCount, l1Offset, l1Entries } =
    verdict.header
  return {
    supported: true,
    version,
    virtualSizeBytes,
    clusterSize,
    compression,
    snapshotCount,
    startsAtBytes: l1Offset + l1Entries * 8,
  }
}

/** The header, for those who then act on it. */
export function requireHeader(
  head: Uint8Array,
  options: PlanQcow2Options,
  allowExtendedL2 = false,
): Qcow2Header {
  const verdict = judge(head, options, allowExtendedL2)
  if ('header' in verdict) return verdict.header
  throw new Qcow2DecodeError({
    rule: 'qcow2-unsupported',
    reason: `the decoder does not take it: ${verdict.reason}`,
    offset: 0,
  })
}

function judge(
  head: Uint8Array,
  options: PlanQcow2Options,
  allowExtendedL2 = false,
): { readonly header: Qcow2Header } | { readonly reason: string } {
  const verdict = judgeHeader(
    head.byteLength > headBytes ? head.subarray(0, headBytes) : head,
    allowExtendedL2,
  )
  const limit = options.maximumVirtualSizeBytes
  if ('header' in verdict && limit !== undefined && verdict.header.virtualSizeBytes > limit) {
    return { reason: `its virtual size is ${verdict.header.virtualSizeBytes} bytes, more than ${limit}` }
  }
  return verdict
}
