/** What a file is, and what the rules say to it. */
export { createFormatPolicy } from '@disk-image/format-policy'
export type { FormatPolicy, FormatPolicyOptions, ImageEvidence } from '@disk-image/format-policy'
export { createInspector, inspect } from '@disk-image/format-policy/inspector'
export type {
  Check,
  ImageDetails,
  InspectionResult,
  InspectionVerdict,
  Inspector,
} from '@disk-image/format-policy/inspector'
export { inspectFile } from './files/file-reader.ts'
