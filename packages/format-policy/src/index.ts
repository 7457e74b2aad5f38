export { ImageConversionNotAllowedError } from './errors.ts'
export type { ImageConversionNotAllowedErrorInit } from './errors.ts'
export { createFormatPolicy, policyFromJson } from './policy/create-format-policy.ts'
export type { ConversionDirection, FormatPolicy, ImageEvidence } from './policy/create-format-policy.ts'
export type { FormatPolicyOptions, ResolvedFormatPolicy } from './policy/options.ts'
export { checkClaimedFormat, isCarriedAsRaw, judgeClaimedFormat } from './rules/claimed-format.ts'
export { checkConversionAllowed, judgeConversionAllowed } from './rules/conversion.ts'
export type { ConversionOptions } from './rules/conversion.ts'
export {
  checkImageFormat,
  checkQcow2Image,
  checkVmdkImage,
  defaultVmdkAllowedTypes,
  judgeImageFormat,
  judgeQcow2Image,
  judgeVmdkImage,
} from './rules/image-format.ts'
export { checkInspection, judgeInspection } from './rules/inspection.ts'
export type { InspectionRules } from './rules/inspection.ts'
export type { FormatSpecificInfo, VmdkOptions } from './rules/image-format.ts'
export { glanceReservedNamespaces, withoutReservedNamespaces } from './rules/reserved-namespaces.ts'
export type { ReservedNamespacesOptions } from './rules/reserved-namespaces.ts'
export { checkVirtualSize, judgeVirtualSize, toWholeGiB } from './rules/virtual-size.ts'
export type { SizeInBytes } from './rules/virtual-size.ts'
