/** What every disk is opened with. */
export interface OpenDiskOptions {
  /** Ends every read, from now until the disk is closed. */
  readonly signal?: AbortSignal | undefined
}
