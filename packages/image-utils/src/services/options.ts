import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { FormatPolicyOptions } from '@disk-image/format-policy'

/** Whether the tools run in a sandbox: where one can be had, always, or never. */
export type SandboxMode = 'auto' | 'require' | 'off'

/** Rules for images beside Cinder's, of which each is off. See `createFormatPolicy` of `@disk-image/format-policy`. */
export type FormatRules = Pick<
  FormatPolicyOptions,
  | 'allowedFormats'
  | 'allowEncryption'
  | 'allowInternalSnapshots'
  | 'allowUnclean'
  | 'maxRatio'
  | 'maxVirtualSizeBytes'
>

/** The operator's settings: Cinder's option names in camelCase, with the unit where there is one. */
export interface ImageUtilsOptions {
  /** Where temporary files go. Made when missing, mode 0700. @default `/var/tmp/disk-image-UID` */
  readonly imageConversionDir?: string | undefined
  /** Compress qcow2 images that are made for an upload. @default true */
  readonly imageCompressOnUpload?: boolean | undefined
  /** CPU seconds that one `qemu-img info` may use. @default 60 */
  readonly imageConversionCpuLimitSeconds?: number | undefined
  /**
   * Address space that one run of qemu-img may use, in GiB. Today's qemu-img reserves more with every CPU;
   * Cinder's 1 ends conversions of good images on machines with many of them.
   * @default 4
   */
  readonly imageConversionAddressSpaceLimitGiB?: number | undefined
  /** Refuse whatever would need a conversion. @default false */
  readonly imageConversionDisable?: boolean | undefined
  /** VMDK create types that are accepted; none refuses every VMDK. @default ['streamOptimized', 'monolithicSparse'] */
  readonly vmdkAllowedTypes?: readonly string[] | undefined
  /** Namespaces of image properties that users may not set, besides Glance's own. @default [] */
  readonly reservedImageNamespaces?: readonly string[] | undefined
  /** Allow `container_format` 'compressed', for uploads and for volumes made of such images. @default false */
  readonly allowCompressionOnImageUpload?: boolean | undefined
  /** How 'compressed' uploads are compressed. @default 'gzip' */
  readonly compressionFormat?: 'gzip' | undefined
  /** Verify the signatures that images carry. @default 'enabled' */
  readonly verifyGlanceSignatures?: 'enabled' | 'disabled' | undefined
  /**
   * Schemes of direct URLs that may be opened instead of downloading; only `file` is known, and it needs
   * `directUrlRoots` too. For the Glance of the dependency `glance`; an image service that you make yourself has
   * an option of the same name. @default []
   */
  readonly allowedDirectUrlSchemes?: readonly string[] | undefined
  /** How often a failed call of Glance is made again, in the same way. @default 3 */
  readonly glanceNumRetries?: number | undefined
  /**
   * Accept archives and compressed data (tar, gzip, zip …) as what they are where the record says raw: for disks
   * that guests write without a file system. @default false: most are uploaded so by mistake
   */
  readonly allowArchivesAsRaw?: boolean | undefined
  /** Further rules for images: formats, sizes, ratio, encryption, snapshots, images that were not closed. @default {} */
  readonly formatRules?: FormatRules | undefined
  /** Put before a command that needs root, for example `['sudo', '-n']`. @default [] */
  readonly rootHelper?: readonly string[] | undefined
  /** Run the tools in a sandbox that shows them their own files only. @default 'auto' */
  readonly sandbox?: SandboxMode | undefined
}

/** Every setting, filled in and checked. */
export type ResolvedOptions = {
  readonly [Name in keyof ImageUtilsOptions]-?: NonNullable<ImageUtilsOptions[Name]>
}

type Check = (value: unknown) => boolean

const isBoolean: Check = (value) => typeof value === 'boolean'
const isPositive: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value > 0
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isStrings: Check = (value) => Array.isArray(value) && value.every((item) => typeof item === 'string')
const formatRules = [
  'allowedFormats',
  'allowEncryption',
  'allowInternalSnapshots',
  'allowUnclean',
  'maxRatio',
  'maxVirtualSizeBytes',
]
const isFormatRules: Check = (value) =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).every((name) => formatRules.includes(name))
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string)

const checks: Readonly<Record<keyof ImageUtilsOptions, readonly [Check, string]>> = {
  imageConversionDir: [(value) => typeof value === 'string' && path.isAbsolute(value), 'an absolute path'],
  imageCompressOnUpload: [isBoolean, 'true or false'],
  imageConversionCpuLimitSeconds: [isPositive, 'a number of seconds above 0'],
  imageConversionAddressSpaceLimitGiB: [isPositive, 'a number of GiB above 0'],
  imageConversionDisable: [isBoolean, 'true or false'],
  vmdkAllowedTypes: [isStrings, 'a list of create types, which may be empty'],
  reservedImageNamespaces: [isStrings, 'a list of namespaces'],
  allowCompressionOnImageUpload: [isBoolean, 'true or false'],
  compressionFormat: [oneOf('gzip'), "'gzip'"],
  verifyGlanceSignatures: [oneOf('enabled', 'disabled'), "'enabled' or 'disabled'"],
  allowedDirectUrlSchemes: [isStrings, "a list of schemes, for example ['file']"],
  glanceNumRetries: [isCount, 'a whole number, 0 or more'],
  allowArchivesAsRaw: [isBoolean, 'true or false'],
  formatRules: [isFormatRules, `an object of ${formatRules.join(', ')}`],
  rootHelper: [isStrings, "a command and its arguments, for example ['sudo', '-n']"],
  sandbox: [oneOf('auto', 'require', 'off'), "'auto', 'require' or 'off'"],
}

/**
 * Fills in every default and refuses every bad value.
 *
 * @throws {InvalidError} with the option's name, its value and what would be right
 */
export function resolveOptions(options: ImageUtilsOptions = {}): ResolvedOptions {
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, name) ? checks[name as keyof ImageUtilsOptions] : undefined
    if (check === undefined) {
      throw new InvalidError({
        reason: `There is no option ${name}. Options are: ${Object.keys(checks).join(', ')}.`,
      })
    }
    if (value !== undefined && !check[0](value)) {
      throw new InvalidError({
        reason: `Option ${name} is ${JSON.stringify(value)}; it must be ${check[1]}.`,
      })
    }
  }
  const list = (values: readonly string[] | undefined, otherwise: readonly string[]): readonly string[] =>
    Object.freeze([...(values ?? otherwise)])
  return Object.freeze({
    imageConversionDir: options.imageConversionDir ?? `/var/tmp/disk-image-${process.getuid?.() ?? 0}`,
    imageCompressOnUpload: options.imageCompressOnUpload ?? true,
    imageConversionCpuLimitSeconds: options.imageConversionCpuLimitSeconds ?? 60,
    imageConversionAddressSpaceLimitGiB: options.imageConversionAddressSpaceLimitGiB ?? 4,
    imageConversionDisable: options.imageConversionDisable ?? false,
    vmdkAllowedTypes: list(options.vmdkAllowedTypes, ['streamOptimized', 'monolithicSparse']),
    reservedImageNamespaces: list(options.reservedImageNamespaces, []),
    allowCompressionOnImageUpload: options.allowCompressionOnImageUpload ?? false,
    compressionFormat: options.compressionFormat ?? 'gzip',
    verifyGlanceSignatures: options.verifyGlanceSignatures ?? 'enabled',
    allowedDirectUrlSchemes: list(options.allowedDirectUrlSchemes, []),
    glanceNumRetries: options.glanceNumRetries ?? 3,
    allowArchivesAsRaw: options.allowArchivesAsRaw ?? false,
    formatRules: Object.freeze({ ...options.formatRules }),
    rootHelper: list(options.rootHelper, []),
    sandbox: options.sandbox ?? 'auto',
  })
}
