/** What runs programs, as `@disk-image/host` has it: for what stands above the facade and has tools of its own. */
export { createProcessRunner } from '@disk-image/host'
export type { ProcessRunnerOptions } from '@disk-image/host'
