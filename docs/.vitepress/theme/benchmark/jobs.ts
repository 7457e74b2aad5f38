import recorded from '../../../data/benchmark.json'

/** What the page draws of a run of `pnpm bench -- --json docs/data/benchmark.json`. */
interface Recording {
  readonly jobs: readonly {
    readonly job: string
    readonly sizeGiB: number
    /** Median times as multiples of the shell script's. */
    readonly ratios: Readonly<Record<string, number>>
  }[]
}

/** One job of a chart. */
export interface Row {
  readonly title: string
  readonly ours: number
  readonly cinder: number | undefined
}

/** One chart: all recorded jobs of one direction. */
export interface Chart {
  readonly title: string
  readonly rows: readonly Row[]
}

const { jobs } = recorded as Recording

function rowsOf(direction: 'fetch' | 'upload'): Row[] {
  return jobs
    .filter(({ job }) => job.includes('upload') === (direction === 'upload'))
    .flatMap(({ job, sizeGiB, ratios }) => {
      const { ours, cinder } = ratios
      if (ours === undefined) return []
      const glance = job.startsWith('glance-')
      const name = job
        .replace(/^glance-/, '')
        .replaceAll('-to-', ' → ')
        .replaceAll('-', ' ')
      return [{ title: `${name}${glance ? ', Glance' : ''}, ${sizeGiB} GiB`, ours, cinder }]
    })
}

export const charts: readonly Chart[] = [
  { title: 'An image onto a volume', rows: rowsOf('fetch') },
  { title: 'A volume into an image', rows: rowsOf('upload') },
]
