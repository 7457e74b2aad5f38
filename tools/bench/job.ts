import type { MeasuredRun } from './measure.ts'

/** Our own command in every job. */
export const ours = 'ours'
/** The same, told not to wait for the disk: what it may be compared with does not wait either. */
export const oursUnsynced = 'ours, unsynced'
/** What a careful shell script does. */
export const floor = 'floor'
/** The same script, which then waits until the result is on the disk, as ours does. */
export const syncedFloor = 'floor, synced'
/** The original. */
export const cinder = 'cinder'
/** Only the transfer, to nowhere: what the service and the connection take by themselves. */
export const download = 'download'

/** One way of doing a job. */
export interface Contestant {
  readonly name: string
  /** What is run, in a few words. */
  readonly description: string
  /** The command, which is made anew for every run. */
  command(): readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Who is very slow takes part in no more rounds than this. @default all */
  readonly mostRuns?: number | undefined
  /** There is no result of it to compare. @default false */
  readonly bringsNothing?: boolean | undefined
  /**
   * Looks at what the command printed.
   *
   * @returns seconds inside the call, where the command measures them itself
   * @throws where it does not say that the image was verified
   */
  read?(run: MeasuredRun): number | undefined
}

/** How ours must stand against another contestant. */
export interface Target {
  /** Which of ours. @default the one that waits for the disk */
  readonly of?: string | undefined
  readonly against: string
  /** `wall`: the whole process; `call`: inside the call, where a command tells it; `cpu`: of all its processes. */
  readonly figure: 'wall' | 'call' | 'cpu'
  /** Most that ours may take, as a multiple of the other's. */
  readonly atMost: number
}

/** A ratio that is shown and not judged. */
export type Comparison = Omit<Target, 'atMost'>

/** Something that is measured: the contestants take turns. */
export interface Job {
  readonly name: string
  readonly sizeGiB: number
  readonly contestants: readonly Contestant[]
  readonly targets: readonly Target[]
  /** @default none */
  readonly comparisons?: readonly Comparison[]
  /** Puts everything as it was, before each run. */
  before(): Promise<void>
  /** @throws where the result is not byte for byte what it must be */
  check(): Promise<void>
  /** Gives back what the job holds. */
  close(): Promise<void>
}

/** Most memory that our process may take, whatever the image's size. */
export const rssLimitBytes: number = 200 * 1024 ** 2
