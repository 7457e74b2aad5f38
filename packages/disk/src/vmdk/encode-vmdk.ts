import { type Disk, type EncodedImage, InvalidError } from '@disk-image/core'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { encodeMonolithicSparse } from './encode-monolithic-sparse.ts'
import { encodeStreamOptimized } from './encode-stream-optimized.ts'

/** Lays a disk out as a VMDK in one file: `streamOptimized`, or `monolithicSparse`. */
export async function encodeVmdk(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const { subformat = 'streamOptimized' } = options
  if (subformat === 'streamOptimized') return encodeStreamOptimized(disk, options)
  if (subformat === 'monolithicSparse') return encodeMonolithicSparse(disk, options)
  throw new InvalidError({
    reason: `a VMDK is written as streamOptimized or monolithicSparse, not as ${subformat}`,
  })
}
