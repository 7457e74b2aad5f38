import { availableParallelism } from 'node:os'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { measure, type MeasuredRun } from '../measure.ts'
import type { BenchOptions } from '../options.ts'
import { spreadOf } from '../statistics.ts'
import { command, serve, tidy } from './field.ts'
import { measureDisk } from './disk-rate.ts'
import { limitsOf, type Machine, measureHash, type Work } from './limits.ts'
import type { ScalingResult } from './tables.ts'

/** A row that is about to be measured. */
export interface Row {
  readonly section: string
  readonly what: string
  readonly work: Work
  readonly command: readonly string[]
  /** What the command makes: removed before each run and at the end. */
  readonly outputs: readonly string[]
  /** @throws where the result is not what it must be */
  check(run: MeasuredRun): Promise<void>
  /** What the same takes without us, measured in turns with ours. */
  readonly floor?: readonly string[] | undefined
  readonly runs?: number
}

/** Measures rows and keeps what they showed. */
export interface Meter {
  readonly folder: string
  readonly machine: Machine
  readonly quick: boolean
  readonly results: ScalingResult[]
  measure(row: Row): Promise<ScalingResult>
}

/** Finds out what the machine can do. */
export async function createMeter(folder: string, { rounds, quick }: BenchOptions): Promise<Meter> {
  const base = {
    cores: availableParallelism(),
    hashBytesPerSecond: measureHash(),
    diskBytesPerSecond: await measureDisk(folder),
  }
  const machine = { ...base, startSeconds: await measureStart(folder) }
  const results: ScalingResult[] = []
  return {
    folder,
    machine,
    quick,
    results,
    measure: async (row) => {
      console.error(`${row.section}: ${row.what} …`)
      const result = await measureRow(machine, row, row.runs ?? rounds)
      results.push(result)
      return result
    },
  }
}

/** What `fetch --json` says, alone or at the end of a line of a list. */
interface Report {
  readonly event?: string
  readonly resumes?: number
  readonly hash?: { readonly verified?: boolean }
}

/** Every report that a command printed. @throws where a hash was not compared */
function reportsOf(stdout: string): Report[] {
  const text = stdout.trim()
  const all = text.startsWith('{\n')
    ? [JSON.parse(text) as Report]
    : text.split('\n').map((line) => JSON.parse(line) as Report)
  const reports = all.filter(({ event }) => event === undefined || event === 'end')
  const unverified = reports.find(({ hash }) => hash !== undefined && hash.verified !== true)
  if (unverified !== undefined) throw new Error(`a hash was not verified: ${stdout.slice(0, 2000)}`)
  return reports
}

async function measureRow(machine: Machine, row: Row, runs: number): Promise<ScalingResult> {
  const ours: MeasuredRun[] = []
  const floor: number[] = []
  let resumes = 0
  for (let round = 0; round < runs; round += 1) {
    await tidy(row.outputs)
    const run = await measure(row.command)
    resumes = Math.max(
      resumes,
      reportsOf(run.stdout).reduce((sum, report) => sum + (report.resumes ?? 0), 0),
    )
    await row.check(run)
    ours.push(run)
    if (row.floor === undefined) continue
    await tidy(row.outputs)
    floor.push((await measure(row.floor)).wallSeconds)
  }
  await tidy(row.outputs)
  const cpuSeconds = spreadOf(ours.map((run) => run.cpuSeconds)).median
  const [limit = { name: 'nothing', seconds: 0 }] = limitsOf(machine, row.work, cpuSeconds)
  return {
    section: row.section,
    what: row.what,
    runs,
    seconds: spreadOf(ours.map((run) => run.wallSeconds)),
    cpuSeconds,
    peakRssBytes: Math.max(...ours.map((run) => run.peakRssBytes)),
    wireBytes: row.work.wireBytes,
    dataBytes: row.work.dataBytes,
    resumes,
    limit,
    floorSeconds: floor.length === 0 ? undefined : spreadOf(floor).median,
  }
}

/** Seconds of a fetch that has next to nothing to fetch. */
async function measureStart(folder: string): Promise<number> {
  const file = path.join(folder, 'tiny.raw')
  const volume = path.join(folder, 'tiny-volume.raw')
  await writeFile(file, randomBytes(1024 ** 2))
  await using nginx = await serve(folder, [{ file, diskFormat: 'raw' }])
  const seconds: number[] = []
  for (let round = 0; round < 3; round += 1) {
    const id = nginx.images[0]?.id ?? ''
    seconds.push(
      (await measure([...command, 'fetch', id, volume, '--glance', nginx.url, '--json'])).wallSeconds,
    )
    await tidy([volume])
  }
  await tidy([file])
  return spreadOf(seconds).median
}
