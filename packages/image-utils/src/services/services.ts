import {
  type CertificateSource,
  type Clock,
  type ImageService,
  InvalidError,
  type Logger,
  type ProcessRunner,
  type TemporaryFiles,
  adaptLogger,
} from '@disk-image/core'
import { createFormatPolicy, type FormatPolicy } from '@disk-image/format-policy'
import { createClock, createProcessRunner, createTemporaryFiles } from '@disk-image/host'
import { createQemuImg, type QemuImg } from '@disk-image/qemu-img'
import {
  createDecodeWorkers,
  createEncodeWorkers,
  type DecodeWorkers,
  type EncodeWorkers,
} from '@disk-image/disk'
import {
  createGlanceImageService,
  type GlanceClientOptions,
  type GlanceImageServiceOptions,
} from '@disk-image/glance-client'
import type { HttpSourceOptions, OciSourceOptions, S3SourceOptions } from '@disk-image/sources'
import type { ResolvedOptions } from './options.ts'
import { silentTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import type { TemporaryImagesByService } from './temporary-images.ts'

/** How disk and processor are spared: a prefix for every command, a rate for every conversion. */
export interface Throttle {
  /** Put before a command, for example `['ionice', '-c3']` or `['cgexec', '-g', 'blkio:slow']`. */
  readonly prefix?: readonly string[] | undefined
  /** Bytes per second that are read of a source, and that are written; qemu-img keeps to it itself. */
  readonly rateBytesPerSecond?: number | undefined
}

/** How sources are reached that are read over a network. */
export interface NetworkOptions {
  /** `https:` and `http:`. @default the public internet, as for URLs of strangers */
  readonly url?: HttpSourceOptions | undefined
  /** `oci:`; the same default. */
  readonly oci?: OciSourceOptions | undefined
  /** `s3:`; the same default, and nothing is signed. */
  readonly s3?: S3SourceOptions | undefined
}

/** How the facade acts. Each has a default for Node.js. */
export interface ImageUtilsDependencies {
  /** @default runs commands with limits, and in a sandbox where one can be had */
  readonly runner?: ProcessRunner | undefined
  /** @default says nothing */
  readonly logger?: Logger | undefined
  readonly clock?: Clock | undefined
  /** Used where a call names no image service. */
  readonly imageService?: ImageService | undefined
  /**
   * The Glance that is used where a call names no image service, instead of `imageService`. It is called with the
   * options `glanceNumRetries` and `allowedDirectUrlSchemes`.
   */
  readonly glance?: GlanceSettings | undefined
  /** Where the certificates of image signatures are found. */
  readonly certificates?: CertificateSource | undefined
  readonly throttle?: Throttle | undefined
  /** How sources are reached that are read over a network, where a call does not say it; asked with the word. */
  readonly network?: NetworkOptions | ((word: string) => NetworkOptions | Promise<NetworkOptions>) | undefined
  /** Told of every operation and stage, see `@disk-image/image-utils/telemetry`. @default measures nothing */
  readonly telemetry?: Telemetry | undefined
}

/** What every operation works with: the dependencies, the settings, and what is made of them once. */
export interface Services {
  readonly options: ResolvedOptions
  readonly runner: ProcessRunner
  readonly logger: Logger
  readonly clock: Clock
  readonly imageService: ImageService | undefined
  readonly certificates: CertificateSource | undefined
  readonly throttle: Throttle
  readonly network: ImageUtilsDependencies['network']
  readonly telemetry: Telemetry
  readonly temporaryFiles: TemporaryFiles
  readonly qemuImg: QemuImg
  /** For the compressed clusters of all images at once. */
  readonly decodeWorkers: DecodeWorkers
  /** For what is compressed of all disks at once. */
  readonly encodeWorkers: EncodeWorkers
  readonly policy: FormatPolicy
  readonly temporaryImages: TemporaryImagesByService
}

/** Fills in the defaults and makes the tools. Starts nothing. */
export function createServices(
  dependencies: ImageUtilsDependencies,
  options: ResolvedOptions,
  temporaryImages: TemporaryImagesByService,
): Services {
  const logger = adaptLogger(dependencies.logger)
  const runner =
    dependencies.runner ??
    createProcessRunner({ rootHelper: options.rootHelper, sandbox: options.sandbox, logger })
  return Object.freeze({
    options,
    runner,
    logger,
    clock: dependencies.clock ?? createClock(),
    imageService: defaultImageService(dependencies, options),
    certificates: dependencies.certificates,
    throttle: dependencies.throttle ?? {},
    network: dependencies.network,
    telemetry: dependencies.telemetry ?? silentTelemetry,
    temporaryFiles: createTemporaryFiles({ directory: options.imageConversionDir }),
    qemuImg: createQemuImg(
      { runner },
      {
        cpuLimitSeconds: options.imageConversionCpuLimitSeconds,
        addressSpaceLimitBytes: options.imageConversionAddressSpaceLimitGiB * 1024 ** 3,
      },
    ),
    decodeWorkers: createDecodeWorkers(),
    encodeWorkers: createEncodeWorkers(),
    temporaryImages,
    policy: createFormatPolicy({
      ...options.formatRules,
      vmdkAllowedTypes: options.vmdkAllowedTypes,
      conversionDisabled: options.imageConversionDisable,
      reservedImageNamespaces: options.reservedImageNamespaces,
    }),
  })
}

/** The service that a request names, or the facade's own. */
export function chooseImageService(services: Services, imageService: ImageService | undefined): ImageService {
  const chosen = imageService ?? services.imageService
  if (chosen === undefined) {
    throw new InvalidError({
      reason: 'No image service was given: pass imageService to the call, or to createImageUtils.',
    })
  }
  return chosen
}

/**
 * Where Glance is and how it is talked to. Retries and direct URLs are the facade's own options,
 * `glanceNumRetries` and `allowedDirectUrlSchemes`.
 */
export interface GlanceSettings
  extends Omit<GlanceClientOptions, 'retries'>, Omit<GlanceImageServiceOptions, 'allowedDirectUrlSchemes'> {}

/**
 * The image service that is used where a call names none: the one that was given, or a Glance.
 *
 * @throws {InvalidError} where both were given, or an option is wrong
 */
function defaultImageService(
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
    { logger: dependencies.logger, ...client, retries: glanceNumRetries },
    { directUrlRoots, checkAvailability, locationClient, allowedDirectUrlSchemes },
  )
}
