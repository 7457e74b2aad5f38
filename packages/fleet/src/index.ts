export { checkJob } from './jobs/check-job.ts'
export { jobIdOf, parseRbdName } from './jobs/identity.ts'
export type {
  CoalesceJob,
  ConvertJob,
  ExpectedHash,
  FetchJob,
  FleetJob,
  InspectJob,
  JobFailure,
  JobProgress,
  JobResult,
  JobType,
  UploadJob,
} from './jobs/job.ts'
export type { RbdName } from './jobs/identity.ts'
export { FleetJobNotFoundError } from './errors.ts'
export { JobCancelledError } from './errors.ts'
export { LeaseLostError } from './errors.ts'
export { RedisUnreachableError } from './errors.ts'
export { createFleet } from './fleet/create-fleet.ts'
export type { Fleet, FleetOptions, ListOptions, SubmitOptions, Submitted } from './fleet/create-fleet.ts'
export type { FleetJobState, JobView } from './fleet/job-view.ts'
export type { HostLimitOptions } from './limits/host-limits.ts'
export type { CacheCounts, ImageCacheOptions } from './cache/image-cache.ts'
export type { FleetConnection, FleetConnectionOptions } from './redis/connection.ts'
export { createRbdDriver } from './rbd/create-rbd-driver.ts'
export type { RbdAccess } from './rbd/rbd-commands.ts'
export { createWorker } from './worker/create-worker.ts'
export type { FleetWorker } from './worker/create-worker.ts'
export { globalMeter } from './worker/metrics.ts'
export type { FleetMeter } from './worker/metrics.ts'
export type { WorkerView } from './worker/heartbeat.ts'
export type { BackendOptions, DriverCall, VolumeDriver } from './volumes/volume-driver.ts'
export type { CloudAccess, CloudOptions, FleetWorkerOptions } from './worker/worker-context.ts'
