import type { Target } from '@disk-image/core'

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
  /**
   * Opens a volume that is not there yet, for a raw disk from its start to its end, without a file between: it has its
   * name when it is committed. Undefined where it is there.
   */
  openNew?(volume: string, call: DriverCall): Promise<Target | undefined>
  /** Puts a volume into a file, as raw. */
  read(volume: string, file: string, call: DriverCall): Promise<void>
}

/** What a driver works with. */
export interface DriverCall {
  readonly signal: AbortSignal
}
