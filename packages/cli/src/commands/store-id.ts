import type { GlobalFlags } from '../session.ts'
import { UsageError } from '../usage-error.ts'

/** Flags of commands that put data into an image. */
export interface StoreIdFlags extends GlobalFlags {
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
