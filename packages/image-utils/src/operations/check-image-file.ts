import { toGlanceFormat, toQemuFormat } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'
import { checkContent } from '../pipelines/judge.ts'
import { withSource } from '../sources/with-source.ts'
import { inspectFile } from './qemu-info.ts'

/** Keywords of {@link checkImageFile}. */
export interface CheckImageFileOptions {
  /** What the file is claimed to be, by any name of a format. `ami` claims nothing. @default what the inspector finds */
  readonly diskFormat?: string | undefined
  /** Named in errors. @default the path */
  readonly imageId?: string | undefined
}

/**
 * Judges a file that is to become an image as it will be judged when somebody fetches it.
 *
 * @returns its `disk_format`, by Glance's name: what was claimed, or else what was found
 * @throws {ImageUnacceptableError} with the rule, what was found and what would be accepted
 */
export async function checkImageFile(
  toolbox: Toolbox,
  path: string,
  { diskFormat, imageId = path }: CheckImageFileOptions = {},
): Promise<string> {
  return withSource(path, async (source) => {
    const inspection = await inspectFile(source.path)
    const isClaim = diskFormat !== undefined && diskFormat.toLowerCase() !== 'ami'
    const claimedFormat = isClaim ? toQemuFormat(diskFormat) : undefined
    checkContent(toolbox, imageId, { claimedFormat, inspection })
    // Glance has no name for an encrypted container: it is carried as raw bytes.
    return toGlanceFormat(diskFormat ?? (inspection.format === 'luks' ? 'raw' : inspection.format))
  })
}
