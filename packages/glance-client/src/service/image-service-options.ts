import { InvalidError } from '@disk-image/core'
import type { GlanceClient } from '../client-types.ts'

/** Settings of a {@link GlanceImageService}. */
export interface GlanceImageServiceOptions {
  /**
   * Schemes of locations that are read directly instead of through Glance. Only `file` is known.
   * @default []
   */
  readonly allowedDirectUrlSchemes?: readonly string[] | undefined
  /** Directories under which such files lie. Without any, no file is read. @default [] */
  readonly directUrlRoots?: readonly string[] | undefined
  /**
   * A client whose own account reads and adds locations: Glance from 2024.2 on gives them to the role `service` only,
   * not to users. On behalf of a context it is used only for images that the context may see. Close it yourself.
   * @default the context's account
   */
  readonly locationClient?: GlanceClient | undefined
  /**
   * Whether images are checked against the context where no token lets Glance do it. @default true without a
   * session; a context that names nobody is the service's own account, and sees everything
   */
  readonly checkAvailability?: boolean | undefined
}

/** @throws {InvalidError} */
export function checkImageServiceOptions(options: GlanceImageServiceOptions): void {
  for (const root of options.directUrlRoots ?? []) {
    if (!root.startsWith('/')) {
      throw new InvalidError({
        reason: `The option directUrlRoots has ${JSON.stringify(root)}; it must be absolute paths`,
      })
    }
  }
}
