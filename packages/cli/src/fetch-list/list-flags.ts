import type { TransferFlags } from '../commands/fetch-request.ts'

/** Flags of `fetch` that go with `--list`. */
export interface ListFlags {
  readonly list?: string
  readonly jobs?: number
  readonly jobsPerDevice?: number
  readonly byteBudget?: number
  readonly stopOnFailure?: boolean
}

/** What the command line says of every line of a list. */
export interface ListDefaults extends TransferFlags, ListFlags {
  readonly dryRun?: boolean
}
