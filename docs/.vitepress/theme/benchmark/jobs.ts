import recorded from '../../../data/benchmark.json'

/** Median, least and most of the rounds. */
interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** What the pages read of the file that `pnpm bench -- --json` writes. */
interface Recording {
  readonly startedAt: string
  readonly machine: {
    readonly cpu?: string
    readonly cores: number
    readonly memoryBytes: number
    readonly load: number
    readonly node: string
  }
  readonly rounds: number
  readonly jobs: readonly RecordedJob[]
  readonly packages: readonly {
    readonly name: string
    readonly judgements: readonly Judgement[]
  }[]
}

interface Judgement {
  readonly what: string
  readonly value: number | null
  readonly atMost: number
  readonly met: boolean
  /** What limits ours where it is missed. */
  readonly limits?: readonly string[]
}

interface RecordedJob {
  readonly job: string
  readonly sizeGiB: number
  readonly standings: readonly {
    readonly name: string
    readonly description: string
    readonly runs: readonly unknown[]
    readonly seconds: Spread
    readonly cpuSeconds: Spread
    readonly peakRssBytes: Spread
    readonly storageWrittenBytes: Spread
  }[]
  readonly judgements: readonly Judgement[]
  /** Ratios for information; absent from older recordings. */
  readonly comparisons?: readonly Pick<Judgement, 'what' | 'value'>[]
  readonly absent: Readonly<Record<string, string>>
}

/** The recorded run that the pages show: `pnpm bench -- --json docs/data/benchmark.json` makes a new one. */
export const recording = recorded as unknown as Recording

/** A job's name for people. */
export function titleOf({ job, sizeGiB }: Pick<RecordedJob, 'job' | 'sizeGiB'>): string {
  const name = job.replaceAll('-to-', ' → ').replaceAll('-', ' ')
  return `${name}, ${sizeGiB} GiB`
}

/** One bar: how long a contestant took, and how far its rounds lay apart, as parts of the longest of its chart. */
export interface Bar {
  readonly name: string
  readonly description: string
  readonly spread: Spread
  readonly part: number
  readonly from: number
  readonly to: number
}

/** The bars of one job. */
export function barsOf(job: RecordedJob, figure: 'seconds' | 'cpuSeconds'): Bar[] {
  const longest = Math.max(...job.standings.map((standing) => standing[figure].max))
  return job.standings.map((standing) => {
    const spread = standing[figure]
    return {
      name: standing.name,
      description: standing.description,
      spread,
      part: spread.median / longest,
      from: spread.min / longest,
      to: spread.max / longest,
    }
  })
}
