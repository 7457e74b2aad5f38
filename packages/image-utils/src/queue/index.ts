export { transferMemoryBytes } from './run-transfer.ts'
export { createDestinationIdentifier, identifyDestination } from '../write/destination-identity.ts'
export type { DestinationIdentifier, DestinationIdentity } from '../write/destination-identity.ts'
export type {
  Transfer,
  TransferOutcome,
  TransferQueueDependencies,
  TransferQueueOptions,
  TransferReport,
  TransferState,
  TransferSummary,
} from './transfer.ts'
export { createTransferQueue } from './transfer-queue.ts'
export type { TransferQueue } from './transfer-queue.ts'
