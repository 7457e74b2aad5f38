export { createInspectionTransform, createInspector, inspectStream } from './create-inspector.ts'
export type { InspectedStream, InspectionTransform, Inspector } from './create-inspector.ts'
export { inspect } from './inspect.ts'
export type { InspectOptions } from './inspect.ts'
export { inspectLuksPayload } from './luks/inspect-luks-payload.ts'
export type {
  InspectLuksPayloadOptions,
  LuksPayloadInspected,
  LuksPayloadNotSeen,
  LuksPayloadResult,
} from './luks/inspect-luks-payload.ts'
export type { Check, Finding, ImageDetails, InspectionResult, InspectionVerdict } from './result.ts'
