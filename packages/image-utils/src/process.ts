/** What runs programs and holds files, as `@disk-image/host` has it: for what stands above the facade. */
export {
  createProcessRunner,
  heldFile,
  holdFile,
  isTemporaryName,
  openSource,
  pathOnly,
  preparePrivateFolder,
  spaceError,
} from '@disk-image/host'
export type { HeldFile, HoldOptions, OpenSource, ProcessRunnerOptions } from '@disk-image/host'
export { renameInError } from './sources/with-source.ts'
