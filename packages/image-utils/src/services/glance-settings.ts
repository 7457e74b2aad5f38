import { type ImageService, InvalidError } from '@disk-image/core'
import {
  createGlanceImageService,
  type GlanceClientOptions,
  type GlanceImageServiceOptions,
} from '@disk-image/glance-client'
import type { ImageUtilsDependencies } from './services.ts'
import type { ResolvedOptions } from './options.ts'

/**
 * Where Glance is and how it is talked to. Retries and direct URLs are the facade's own options,
 * `glanceNumRetries` and `allowedDirectUrlSchemes`.
 */
export interface GlanceSettings
  extends
    Omit<GlanceClientOptions, 'glanceNumRetries'>,
    Omit<GlanceImageServiceOptions, 'allowedDirectUrlSchemes'> {}

/**
 * The image service that is used where a call names none: the one that was given, or a Glance.
 *
 * @throws {InvalidError} where both were given, or an option is wrong
 */
export function defaultImageService(
  dependencies: ImageUtilsDependencies,
  options: ResolvedOptions,
): ImageService | undefined {
  const { glance, imageService } = dependencies
  if (glance === undefined) return imageService
  if (imageService !== undefined) {
    throw new InvalidError({ reason: 'Give imageService or glance, not both: each is the default service.' })
  }
  const { directUrlRoots, checkAvailability, locationClient, ...client } = glance
  const { allowedDirectUrlSchemes, glanceNumRetries } = options
  return createGlanceImageService(
    { logger: dependencies.logger, ...client, glanceNumRetries },
    { directUrlRoots, checkAvailability, locationClient, allowedDirectUrlSchemes },
  )
}
