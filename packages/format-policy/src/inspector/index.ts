export { createInspector } from './create-inspector.ts'
export type { Inspector } from './create-inspector.ts'
export { inspect } from './inspect.ts'
export type { InspectOptions } from './inspect.ts'
export { createInspectionTransform, inspectStream } from './inspect-stream.ts'
export type { InspectedStream, InspectionTransform } from './inspect-stream.ts'
export { inspectLuksPayload } from './luks/inspect-luks-payload.ts'
export type {
  InspectLuksPayloadOptions,
  LuksPayloadInspected,
  LuksPayloadNotSeen,
  LuksPayloadResult,
} from './luks/inspect-luks-payload.ts'
export type { Check, Finding, ImageDetails, InspectionResult, InspectionVerdict } from './result.ts'
