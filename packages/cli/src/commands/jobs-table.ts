import { formatBytes } from '@disk-image/core'
import type { FleetJob, JobView } from '@disk-image/fleet'
import type { Style } from '../output/style.ts'
import { alignFields, alignRows, type Cell } from '../output/table.ts'
import { formatRate, formatSeconds } from '../output/units.ts'

/** A line for each job, those that run first. */
export function describeJobs(style: Style, views: readonly JobView[]): string[] {
  if (views.length === 0) return ['There are no such jobs.']
  const order = ['active', 'waiting', 'delayed', 'failed', 'cancelled', 'completed']
  const sorted = views.toSorted(
    (left, right) =>
      order.indexOf(left.state) - order.indexOf(right.state) || left.submittedAt - right.submittedAt,
  )
  const head: Cell[] = ['JOB', 'STATE', 'STAGE', 'DONE', 'RATE', 'WORKER', 'WHAT'].map((text) => ({
    text,
    paint: style.dim,
  }))
  return alignRows([head, ...sorted.map((view) => rowOf(style, view))])
}

function rowOf(style: Style, view: JobView): Cell[] {
  const paint = { completed: style.good, failed: style.bad, cancelled: style.note }[view.state as 'failed']
  const running = view.state === 'active' ? view.progress : undefined
  return [
    view.id,
    paint === undefined ? view.state : { text: view.state, paint },
    running?.stage ?? '',
    doneOf(view),
    running === undefined || running.rateBytesPerSecond === 0 ? '' : formatRate(running.rateBytesPerSecond),
    running?.worker ?? view.result?.worker ?? '',
    view.error === undefined ? whatOf(view.job) : `${view.error.code}: ${view.error.message}`,
  ]
}

function doneOf({ state, progress }: JobView): string {
  if (state !== 'active' || progress === undefined) return ''
  const total = progress.total ?? (progress.unit === 'percent' ? 100 : undefined)
  if (total !== undefined && total > 0) return `${Math.floor((progress.completed / total) * 100)} %`
  return progress.unit === 'bytes' ? formatBytes(progress.completed) : ''
}

function whatOf(job: FleetJob): string {
  switch (job.type) {
    case 'fetch':
      return `${job.imageId} → ${job.volume}`
    case 'upload':
      return `${job.volume} → ${job.imageId}`
    case 'convert':
      return `${job.source} → ${job.volume}`
    case 'coalesce':
      return `${job.chain.length} files → ${job.chain.at(-1)}`
    case 'inspect':
    default:
      return job.imageId
  }
}

/** All of one job. */
export function describeJob(style: Style, view: JobView): string[] {
  const { progress, error, startedAt, endedAt } = view
  const seconds = startedAt === undefined ? undefined : ((endedAt ?? Date.now()) - startedAt) / 1000
  return alignFields([
    ['Job', { text: view.id, paint: style.bold }],
    ['State', view.state],
    ['What', whatOf(view.job)],
    ['Submitted', new Date(view.submittedAt).toISOString()],
    ['Took', seconds === undefined ? undefined : formatSeconds(seconds)],
    ['Attempts', `${view.attempts} ended, ${view.crashes} lost with their worker`],
    ['Stage', view.state === 'active' ? `${progress?.stage ?? 'begin'} ${doneOf(view)}` : undefined],
    ['Worker', progress?.worker ?? view.result?.worker],
    [
      'Error',
      error === undefined ? undefined : { text: `${error.code}: ${error.message}`, paint: style.bad },
    ],
    ['rule', error?.rule],
  ])
}
