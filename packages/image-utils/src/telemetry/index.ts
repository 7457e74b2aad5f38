export { createOpenTelemetry } from './open-telemetry.ts'
export type { OpenTelemetryOptions } from './open-telemetry.ts'
export type { Operation, OperationFacts, OperationName, Telemetry } from './telemetry.ts'
