import type { CallOptions, ImageService, RequestContext, VerifyPolicy } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'
import { imageToVolume } from '../pipelines/image-to-volume.ts'

/** Keywords of the `fetchTo…` functions. */
export interface FetchToVolumeOptions extends CallOptions {
  readonly volumeSubformat?: string | undefined
  /** For logs only. */
  readonly userId?: string | undefined
  /** For logs only. */
  readonly projectId?: string | undefined
  /** The volume's size in GiB. */
  readonly size?: number | undefined
  /** Through the root helper where the process itself may not. @default true */
  readonly runAsRoot?: boolean | undefined
  /** @default false */
  readonly disableSparse?: boolean | undefined
  /** Done when the disk has everything, not only the operating system. @default true */
  readonly durable?: boolean | undefined
  readonly verify?: VerifyPolicy | undefined
  readonly verifyBeforeWrite?: boolean | undefined
  readonly connections?: number | undefined
  /** The stores to read from, in this order, where the image is in several. @default the service's order */
  readonly preferStores?: readonly string[] | undefined
}

/** A transfer's block size, as the original takes it. Ours chooses its own and only checks that it is one. */
export type BlockSize = string | number

/**
 * An image onto a volume of any format.
 *
 * @see cinder.image.image_utils.fetch_to_volume_format
 */
export async function fetchToVolumeFormat(
  toolbox: Toolbox,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  destination: string,
  volumeFormat: string,
  options: FetchToVolumeOptions = {},
): Promise<void> {
  const { size, runAsRoot = true, userId, projectId, ...rest } = options
  const request = { ...rest, context, imageService, imageId, volumeFormat, runAsRoot }
  const report = await imageToVolume(toolbox, { ...request, volume: destination, volumeSizeGiB: size }, true)
  toolbox.logger.info('Image written to volume', { ...report, userId, projectId })
}
