import { InvalidError } from '@disk-image/core'
import { defaultVmdkAllowedTypes } from '../rules/image-format.ts'

/** The rules of {@link createFormatPolicy}; every one has a default. */
export interface FormatPolicyOptions {
  /** VMDK create types that are accepted; an empty list refuses every VMDK. @default streamOptimized, monolithicSparse */
  readonly vmdkAllowedTypes?: readonly string[] | undefined
  /** Formats that are accepted, by Glance's names; absent: every one that passes its checks. */
  readonly allowedFormats?: readonly string[] | undefined
  /** @default false */
  readonly allowQcow2BackingFile?: boolean | undefined
  /** @default true */
  readonly allowInternalSnapshots?: boolean | undefined
  /** @default true */
  readonly allowEncryption?: boolean | undefined
  /** Accept images that their program did not close. @default false */
  readonly allowUnclean?: boolean | undefined
  /** Largest virtual size in bytes; absent: only the volume's size counts. */
  readonly maxVirtualSizeBytes?: number | undefined
  /** Largest ratio of virtual size to file size; absent: none. */
  readonly maxRatio?: number | undefined
  /** Refuse what would have to be converted. @default false */
  readonly conversionDisabled?: boolean | undefined
  /** Prefixes of metadata that are not copied, beside Glance's own. @default [] */
  readonly reservedImageNamespaces?: readonly string[] | undefined
}

/** Options with every default filled in. */
export type ResolvedFormatPolicy = {
  readonly [K in keyof FormatPolicyOptions]-?: K extends 'allowedFormats' | 'maxVirtualSizeBytes' | 'maxRatio'
    ? FormatPolicyOptions[K]
    : NonNullable<FormatPolicyOptions[K]>
}

type Kind = 'texts' | 'boolean' | 'number'

const kinds: ReadonlyMap<string, Kind> = new Map<keyof FormatPolicyOptions, Kind>([
  ['vmdkAllowedTypes', 'texts'],
  ['allowedFormats', 'texts'],
  ['allowQcow2BackingFile', 'boolean'],
  ['allowInternalSnapshots', 'boolean'],
  ['allowEncryption', 'boolean'],
  ['allowUnclean', 'boolean'],
  ['maxVirtualSizeBytes', 'number'],
  ['maxRatio', 'number'],
  ['conversionDisabled', 'boolean'],
  ['reservedImageNamespaces', 'texts'],
])

const wanted: Readonly<Record<Kind, string>> = {
  texts: 'a list of texts',
  boolean: 'true or false',
  number: 'a number above 0',
}

/**
 * Checks rules and fills in the defaults.
 *
 * @throws {InvalidError} with the rule's name, the value and what would be right
 */
export function resolveFormatPolicy(options: FormatPolicyOptions): ResolvedFormatPolicy {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidError({ reason: `A format policy must be an object, not ${show(options)}` })
  }
  for (const [name, value] of Object.entries(options)) {
    const kind = kinds.get(name)
    if (kind === undefined) {
      const known = [...kinds.keys()].join(', ')
      throw new InvalidError({ reason: `A format policy has no rule ${name}. It has: ${known}` })
    }
    if (value !== undefined && !fits(value, kind)) {
      throw new InvalidError({ reason: `The rule ${name} must be ${wanted[kind]}, not ${show(value)}` })
    }
  }
  const list = (texts: readonly string[]): readonly string[] => Object.freeze([...texts])
  return Object.freeze({
    vmdkAllowedTypes: list(options.vmdkAllowedTypes ?? defaultVmdkAllowedTypes),
    allowedFormats: options.allowedFormats === undefined ? undefined : list(options.allowedFormats),
    allowQcow2BackingFile: options.allowQcow2BackingFile ?? false,
    allowInternalSnapshots: options.allowInternalSnapshots ?? true,
    allowEncryption: options.allowEncryption ?? true,
    allowUnclean: options.allowUnclean ?? false,
    maxVirtualSizeBytes: options.maxVirtualSizeBytes,
    maxRatio: options.maxRatio,
    conversionDisabled: options.conversionDisabled ?? false,
    reservedImageNamespaces: list(options.reservedImageNamespaces ?? []),
  })
}

function fits(value: unknown, kind: Kind): boolean {
  if (kind === 'texts') return Array.isArray(value) && value.every((text) => typeof text === 'string')
  if (kind === 'number') return typeof value === 'number' && value > 0
  return typeof value === 'boolean'
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 100)
}
