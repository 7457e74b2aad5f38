import type { Store } from '../store.ts'
import type { Session } from '../session.ts'

/** Milliseconds that the removal may take: whoever cancels a run wants it to end. */
const patienceMs = 900

/**
 * Removes an image that this run has made and could not fill: nobody could use it. That it could not be removed
 * is said, and hides no other error.
 */
export async function takeBack(
  session: Session,
  { imageService, context }: Store,
  imageId: string,
): Promise<void> {
  try {
    // Not with the run's own signal: a cancelled run takes its image back, too.
    await imageService.delete(context, imageId, { signal: AbortSignal.timeout(patienceMs) })
  } catch (failure) {
    session.logger.warn(`image ${imageId} was made and could not be removed`, { failure })
  }
}
