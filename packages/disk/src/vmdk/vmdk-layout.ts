import type { RandomAccessReader } from '@disk-image/core'
import { ImageFile } from '../image-file.ts'
import { readVmdkDescriptor } from './vmdk-descriptor.ts'
import { readVmdkHeader, type VmdkHeader } from './vmdk-header.ts'

/** What one parse of a VMDK's header and descriptor yields. Offsets and sizes in bytes. */
export interface VmdkLayout extends VmdkHeader {
  readonly format: 'vmdk'
  readonly createType: 'monolithicSparse' | 'streamOptimized'
  /** Behind header and descriptor. */
  readonly metadataEnd: number
}

/**
 * Reads header, footer and descriptor of a VMDK in one file.
 *
 * @throws {DiskFormatError} where it is another kind (COWD, SESparse, flat, split, a delta), or a bound is broken
 */
export async function readVmdkLayout(reader: RandomAccessReader): Promise<VmdkLayout> {
  const file = new ImageFile(reader, 'vmdk')
  const header = await readVmdkHeader(file)
  const { createType, endOffset } = await readVmdkDescriptor(
    file,
    header.descriptorOffset,
    header.descriptorSectors,
  )
  return Object.freeze({ format: 'vmdk', createType, metadataEnd: endOffset, ...header })
}
