/** A volume opened for one pass of writing. */
export interface Volume extends AsyncDisposable {
  readonly path: string
  readonly kind: 'file' | 'block-device'
  /** Capacity of a device; of a file, what was announced, or 0. */
  readonly sizeBytes: number
  /** Whether opening made the file. */
  readonly created: boolean
  /** Whether anything of the old content may be gone. */
  readonly touched: boolean
  /**
   * Writes all of the chunk. It may be a view of shared memory, and is not kept. Several may be under way at
   * once; about 1 MiB each is fastest.
   *
   * @throws {ImageTooBigError} where there is no room
   */
  write(chunk: Uint8Array, offset: number): Promise<void>
  /** The range reads as zeros afterwards: a hole in a file; on a device, zeros that are known or written. */
  skip(offset: number, length: number): Promise<void>
  /** Sets a file's length, and returns when everything is on the disk, unless it was opened as not durable. */
  finish(totalBytes: number): Promise<void>
  /**
   * Makes sure that nothing half-written can be taken for an image: a file that opening made is removed,
   * anything else gets its first and last MiB zeroed, where anything was written. Never throws.
   */
  taint(): Promise<void>
  /** Closes it; taints it first where it was touched and not finished. */
  close(): Promise<void>
}

/** What a kind of volume does differently. Offsets and lengths are checked by then. */
export interface VolumeTarget {
  readonly kind: Volume['kind']
  readonly sizeBytes: number
  /** Called once, before anything is written: makes all old content unreadable, as cheaply as it can. */
  prepare(): Promise<void>
  /** Whether `prepare` left nothing but zeros. */
  zeroed(): boolean
  setLength(totalBytes: number): Promise<void>
}
