/** What a file is, and what the rules say to it. */
export { createFormatPolicy } from '@disk-image/format-policy'
export type { FormatPolicy, FormatPolicyOptions, ImageEvidence } from '@disk-image/format-policy'
export {
  createInspectionTransform,
  createInspector,
  inspect,
  inspectStream,
} from '@disk-image/format-policy/inspector'
export type {
  Check,
  ImageDetails,
  InspectedStream,
  InspectionResult,
  InspectionTransform,
  InspectionVerdict,
  Inspector,
} from '@disk-image/format-policy/inspector'
export { inspectFile } from './files/file-reader.ts'
