export { ThreadEndedError } from './errors.ts'
export { closeAll } from './files/close-all.ts'
export { readFully, readFullyFrom } from './files/read.ts'
export {
  isZero,
  RateLimiter,
  SparseSink,
  splitAtZeros,
  syncFolder,
  writeFully,
  writeSparsely,
} from './files/write.ts'
export type { SparseSinkOptions } from './files/write.ts'
export { Channel } from './flow/channel.ts'
export { Limiter } from './flow/limiter.ts'
export type { Lease } from './flow/limiter.ts'
export { prepareAhead } from './flow/prepare-ahead.ts'
export { iterateUnlessAborted, unlessAborted } from './flow/unless-aborted.ts'
export { hasHash, isCrc, planChecksums, planHash, sizeOf, toNodeHashName } from './hashing/hash-plan.ts'
export type { ExpectedImage, HashPlan } from './hashing/hash-plan.ts'
export { HashPool } from './hashing/hash-pool.ts'
export type { HashJob } from './hashing/hash-pool.ts'
export type { HashTask } from './hashing/hash-task.ts'
export {
  allocateBuffer,
  allocatePageMemory,
  allocatePagePieces,
  allocateSharedBuffer,
  BufferPool,
  BufferShare,
  isPageAligned,
  pageBytes,
} from './memory/buffers.ts'
export type { BufferPoolOptions, BufferShareOptions, PageMemory } from './memory/buffers.ts'
export { serveRequests } from './threads/serve-requests.ts'
export type { RequestHandler } from './threads/serve-requests.ts'
export { ThreadPool } from './threads/thread-pool.ts'
export type { Requests, ThreadPoolOptions } from './threads/thread-pool.ts'
export { HashStream } from './transfer/hash-stream.ts'
export type { HashStreamOptions } from './transfer/hash-stream.ts'
export { Transfer } from './transfer/transfer.ts'
export type { TransferOptions, TransferResources, TransferResult } from './transfer/transfer.ts'
export { readAgain, transferVerified } from './transfer/transfer-verified.ts'
export type { TransferVerifiedOptions } from './transfer/transfer-verified.ts'
