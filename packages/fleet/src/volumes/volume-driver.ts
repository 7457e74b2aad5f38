/** A back end that a worker serves. */
export interface BackendOptions {
  /** Folders in which a job's volumes may be, block devices included; absolute paths. */
  readonly folders?: readonly string[] | undefined
  /** Pools of Ceph in which a job's volumes may be. */
  readonly pools?: readonly string[] | undefined
  /** Jobs that all workers together may do on it at the same time. @default no limit */
  readonly maxJobs?: number | undefined
  /** Use the facade's root helper. @default false */
  readonly runAsRoot?: boolean | undefined
}

/** Reads and writes volumes that are no files. */
export interface VolumeDriver {
  /** Puts a raw disk from a file onto a volume. */
  write(file: string, volume: string, call: DriverCall): Promise<void>
  /** Opens a volume that is not there yet, for raw bytes without a file between. Undefined where it is there. */
  openNew?(volume: string, call: DriverCall): Promise<VolumeStream | undefined>
  /** Puts a volume into a file, as raw. */
  read(volume: string, file: string, call: DriverCall): Promise<void>
}

/** A volume that is filled from its start, and appears when it is finished. */
export interface VolumeStream {
  /** The chunk is lent until the promise settles. */
  write(chunk: Uint8Array): Promise<void>
  /** The volume is whole: now it gets its name. */
  finish(): Promise<void>
  /** Takes back what was written. */
  abandon(): Promise<void>
}

/** What a driver works with. */
export interface DriverCall {
  readonly signal: AbortSignal
}
