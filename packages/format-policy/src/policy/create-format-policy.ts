import {
  formatBytes,
  InvalidError,
  type QemuImgInfo,
  toGlanceFormat,
  toQemuFormat,
  type Verdict,
} from '@disk-image/core'
import { accepted, enforce } from '../rules/enforce.ts'
import type { InspectionResult } from '../inspector/index.ts'
import { isCarriedAsRaw, judgeClaimedFormat } from '../rules/claimed-format.ts'
import { checkConversionAllowed, judgeConversionAllowed } from '../rules/conversion.ts'
import { judgeImageFormat } from '../rules/image-format.ts'
import { refusalsOfInspection } from '../rules/inspection.ts'
import { withoutReservedNamespaces } from '../rules/reserved-namespaces.ts'
import { judgeVirtualSize } from '../rules/virtual-size.ts'
import { type FormatPolicyOptions, type ResolvedFormatPolicy, resolveFormatPolicy } from './options.ts'

/** What is known about an image when it is judged. Every part is optional; each adds its rules. */
export interface ImageEvidence {
  /** The record's `disk_format`, or qemu-img's name of it. */
  readonly claimedFormat?: string | null | undefined
  /** What the inspector says. */
  readonly inspection?: InspectionResult | undefined
  /** What `qemu-img info` says. */
  readonly info?: QemuImgInfo | undefined
  /** The volume that shall take the disk. */
  readonly volumeSizeGiB?: number | undefined
  /** Whether there is a passphrase for a qcow2 that is encrypted; where absent, nobody is going to open it. */
  readonly hasPassphrase?: boolean | undefined
}

/** Which way a conversion goes. */
export interface ConversionDirection {
  /** A volume becomes an image. @default false */
  readonly upload?: boolean | undefined
}

/** The rules of one place, frozen. */
export interface FormatPolicy {
  readonly options: ResolvedFormatPolicy
  /** The first refusal, or acceptance. */
  judge(evidence: ImageEvidence): Verdict
  /** Every refusal, the gravest first. */
  judgeAll(evidence: ImageEvidence): readonly Verdict[]
  /** @throws {ImageUnacceptableError} where {@link FormatPolicy.judge} refuses */
  check(imageId: string, evidence: ImageEvidence): void
  judgeConversion(diskFormat: string, volumeFormat: string, direction?: ConversionDirection): Verdict
  /** @throws {ImageConversionNotAllowedError} */
  checkConversion(
    diskFormat: string,
    volumeFormat: string,
    imageId: string,
    direction?: ConversionDirection,
  ): void
  withoutReservedNamespaces(metadata: Readonly<Record<string, unknown>> | undefined): Record<string, unknown>
  /** A policy like this one but for some rules. */
  with(options: FormatPolicyOptions): FormatPolicy
  /** The rules as plain data; {@link policyFromJson} makes a policy of them again. */
  toJSON(): FormatPolicyOptions
}

/**
 * Makes a policy.
 *
 * @throws {InvalidError} where a rule is not one, or has a value that it cannot have
 * @example
 * const policy = createFormatPolicy({ allowedFormats: ['raw', 'qcow2'], maxRatio: 1000 })
 * policy.check(imageId, { claimedFormat: 'qcow2', inspection, volumeSizeGiB: 10 })
 */
export function createFormatPolicy(options: FormatPolicyOptions = {}): FormatPolicy {
  const rules = resolveFormatPolicy(options)
  const judgeAll = (evidence: ImageEvidence): readonly Verdict[] => refusals(rules, evidence)
  const judge = (evidence: ImageEvidence): Verdict => judgeAll(evidence)[0] ?? accepted
  const policy: FormatPolicy = {
    options: rules,
    judge,
    judgeAll,
    check: (imageId, evidence) => enforce(imageId, judge(evidence)),
    judgeConversion: (diskFormat, volumeFormat, direction = {}) =>
      judgeConversionAllowed(diskFormat, volumeFormat, { ...direction, disabled: rules.conversionDisabled }),
    checkConversion: (diskFormat, volumeFormat, imageId, direction = {}) =>
      checkConversionAllowed(diskFormat, volumeFormat, imageId, {
        ...direction,
        disabled: rules.conversionDisabled,
      }),
    withoutReservedNamespaces: (metadata) =>
      withoutReservedNamespaces(metadata, { reservedNamespaces: rules.reservedImageNamespaces }),
    with: (changes) => createFormatPolicy({ ...policy.toJSON(), ...changes }),
    toJSON: () => Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== undefined)),
  }
  return Object.freeze(policy)
}

/**
 * A policy from the text or the data of a file.
 *
 * @throws {InvalidError} where it is no JSON, or no policy
 */
export function policyFromJson(json: unknown): FormatPolicy {
  if (typeof json !== 'string') return createFormatPolicy(json as FormatPolicyOptions)
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch (error) {
    throw new InvalidError({ reason: 'The format policy is not JSON', cause: error })
  }
  return createFormatPolicy(parsed as FormatPolicyOptions)
}

function refusals(rules: ResolvedFormatPolicy, evidence: ImageEvidence): readonly Verdict[] {
  const { claimedFormat, inspection, info, volumeSizeGiB } = evidence
  const verdicts: Verdict[] = []
  if (inspection !== undefined) {
    const carried = isCarriedAsRaw(claimedFormat, inspection)
    verdicts.push(judgeClaimedFormat(claimedFormat, inspection))
    const found = refusalsOfInspection(inspection, rules)
    verdicts.push(
      ...found.filter(
        (verdict) => !carried || (!verdict.ok && ['ambiguous', 'luks-encryption'].includes(verdict.rule)),
      ),
    )
    verdicts.push(judgeAllowedFormat(namesOf(inspection, carried), rules))
    if (evidence.hasPassphrase !== undefined) verdicts.push(judgeKey(inspection, evidence.hasPassphrase))
  }
  if (info !== undefined) verdicts.push(...judgeInfo(rules, evidence, info))
  const size = inspection?.virtualSizeBytes ?? info?.virtualSize
  if (size !== undefined) {
    verdicts.push(judgeMaximum(size, inspection?.fileSizeBytes, rules))
    if (volumeSizeGiB !== undefined) verdicts.push(judgeVirtualSize(size, volumeSizeGiB))
  }
  return verdicts.filter((verdict) => !verdict.ok)
}

function judgeInfo(
  rules: ResolvedFormatPolicy,
  evidence: ImageEvidence,
  info: QemuImgInfo,
): readonly Verdict[] {
  const { inspection } = evidence
  // With an inspection at hand, qemu-img was told the format, and the claim has been judged already.
  const claimed = inspection === undefined ? evidence.claimedFormat : undefined
  const verdicts = [judgeImageFormat(claimed, info, { allowedTypes: rules.vmdkAllowedTypes })]
  const { backingFile, fileFormat } = info
  if (
    backingFile !== undefined &&
    backingFile !== null &&
    !(rules.allowQcow2BackingFile && fileFormat === 'qcow2')
  ) {
    verdicts.push({
      ok: false,
      rule: `${fileFormat ?? 'image'}-backing-file`,
      reason: `fmt=${fileFormat} backed by:${backingFile}`,
      found: backingFile,
      accepted: 'an image without a backing file',
      reference: 'CVE-2015-5163',
    })
  }
  if (inspection === undefined && fileFormat !== undefined)
    verdicts.push(judgeAllowedFormat([fileFormat], rules))
  return verdicts
}

/** The format, and of a raw disk also what it holds: who allows `gpt` means a raw disk with a GPT. */
function namesOf({ format, contentName }: InspectionResult, carried: boolean): readonly string[] {
  const name = carried ? 'raw' : format
  return contentName === undefined || toQemuFormat(name) !== 'raw' ? [name] : [name, contentName]
}

function judgeAllowedFormat(names: readonly string[], rules: ResolvedFormatPolicy): Verdict {
  const { allowedFormats } = rules
  const [format = ''] = names
  // A name that only Glance has for raw bytes is raw; one that says what a raw disk holds stays as it is.
  const plain = (name: string): string =>
    ['ami', 'aki', 'ari'].includes(name) ? 'raw' : toQemuFormat(name) === 'raw' ? name : toGlanceFormat(name)
  if (allowedFormats === undefined) return accepted
  if (allowedFormats.some((name) => names.some((found) => plain(found) === plain(name)))) return accepted
  return {
    ok: false,
    rule: 'allowed-formats',
    reason: `Images of the format '${format}' are not allowed here`,
    found: format,
    accepted: allowedFormats.join(', ') || 'no format at all',
  }
}

function judgeMaximum(size: number, fileSize: number | undefined, rules: ResolvedFormatPolicy): Verdict {
  const { maxVirtualSizeBytes, maxRatio } = rules
  if (maxVirtualSizeBytes !== undefined && size > maxVirtualSizeBytes) {
    return {
      ok: false,
      rule: 'max-virtual-size',
      reason: `The virtual size of ${formatBytes(size)} is above the limit`,
      found: `${size} bytes`,
      accepted: `at most ${formatBytes(maxVirtualSizeBytes)}`,
      reference: 'CVE-2013-2096',
    }
  }
  if (maxRatio !== undefined && fileSize !== undefined && size > maxRatio * fileSize) {
    return {
      ok: false,
      rule: 'max-ratio',
      reason: `The disk is ${Math.round(size / Math.max(fileSize, 1))} times as large as its file`,
      found: `${size} bytes from ${fileSize}`,
      accepted: `at most ${maxRatio} times`,
      reference: 'CVE-2013-4463',
    }
  }
  return accepted
}

/**
 * Whether a qcow2 that is encrypted can be opened. Its disk is asked for by nobody without a key, and LUKS is the
 * only method that tools still write.
 */
function judgeKey(
  { format, details, checks }: Pick<InspectionResult, 'format' | 'details' | 'checks'>,
  hasPassphrase: boolean,
): Verdict {
  const { encryption } = details
  if (format !== 'qcow2' || encryption === undefined || (encryption === 'luks' && hasPassphrase)) {
    return accepted
  }
  const known = encryption === 'luks'
  return {
    ok: false,
    rule: 'qcow2-encryption',
    reason: known
      ? 'The image is encrypted (luks), and there is no passphrase for it'
      : `The image is encrypted by a method that is not opened (${encryption})`,
    found: encryption,
    offset: checks.find(({ name }) => name === 'encryption')?.offset,
    accepted: known
      ? 'its passphrase (sourcePassphraseFile, --source-passphrase-file) for a volume of the format luks'
      : 'an image that is encrypted with LUKS, or not at all (`qemu-img convert` makes one)',
  }
}
