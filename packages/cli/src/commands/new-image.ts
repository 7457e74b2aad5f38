import type { Store } from '../store.ts'
import type { Session, GlobalFlags } from '../session.ts'
import { UsageError } from '../usage-error.ts'

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

/** Flags of commands that put data into an image. */
interface StoreIdFlags extends GlobalFlags {
  readonly storeId?: string
}

function namesStore(flags: StoreIdFlags): boolean {
  return flags.store !== undefined && (flags.glance !== undefined || flags.cloud !== undefined)
}

/**
 * The store that shall take the data: `--store-id`, or `--store` where `--glance` or `--cloud` has said already
 * where the images are.
 */
export function takeStoreId(flags: StoreIdFlags): string | undefined {
  if (!namesStore(flags)) return flags.storeId
  if (flags.storeId !== undefined) throw new UsageError('Give the store once, with --store-id.')
  return flags.store
}

/** The flags without a `--store` that names a store of a Glance. */
export function withoutStoreId(flags: StoreIdFlags): GlobalFlags {
  if (!namesStore(flags)) return flags
  const { store: _store, ...rest } = flags
  return rest
}
