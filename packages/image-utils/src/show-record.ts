import { InvalidError, recordProblem } from '@disk-image/core'
import type { CallOptions, ImageRecord, ImageService, RequestContext } from '@disk-image/core'

/**
 * An image's record, whose fields have the types that everything after it counts on: any object may be a service.
 *
 * @throws {InvalidError} where a field has another type
 */
export async function showRecord(
  imageService: ImageService,
  context: RequestContext,
  imageId: string,
  options: CallOptions,
): Promise<ImageRecord> {
  const record = await imageService.show(context, imageId, options)
  const problem = recordProblem(record)
  if (problem === undefined) return record
  throw new InvalidError({ reason: `The record of image ${imageId} is not usable: ${problem}.` })
}
