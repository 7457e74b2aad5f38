import { download, floor, ours, oursUnsynced, type Job, type Target } from './job.ts'
import { ratioName, type JobResult, type Standing } from './run-job.ts'

/** What this machine can do, measured once per benchmark. */
export interface MachineRates {
  readonly cores: number
  /** SHA-512 in one thread. */
  readonly hashBytesPerSecond: number
  /** Synced, in the quickest of several ways; a disk with a cache of its own may take a shorter burst faster. */
  readonly diskBytesPerSecond: number
}

const MB = 1e6
const MiB = 1024 ** 2

const seconds = (value: number): string => `${value.toFixed(2)} s`
const percent = (value: number): string => `${(value * 100).toFixed(0)} %`

interface Part {
  readonly seconds: number
  readonly name: string
}

/** Seconds outside the call: the start of Node.js and of the command, and its end. */
function startOf(own: Standing): number {
  return Math.max(0, own.seconds.median - own.callSeconds.median)
}

/** A whole process starts besides. How much of a start is processor time is not measured. */
function withStart(part: Part, own: Standing, figure: Target['figure']): Part[] {
  return figure === 'wall' ? [part, { seconds: startOf(own), name: 'start of Node.js' }] : [part]
}

const leastOf = (parts: readonly Part[]): number => parts.reduce((sum, part) => sum + part.seconds, 0)

function leastLine(
  parts: readonly Part[],
  allowed: number,
  allowance: string,
  bound = 'least possible',
): string {
  const least = leastOf(parts)
  const sum = parts.map((part) => `${seconds(part.seconds)} ${part.name}`).join(' + ')
  const total = parts.length === 1 ? '' : ` = ${seconds(least)}`
  const verdict = least > allowed ? ', which is less' : ''
  return `${bound}: ${sum}${total}; ${allowance} = ${seconds(allowed)}${verdict}`
}

/** One target that was missed. */
interface Miss {
  readonly own: Standing
  readonly figure: Target['figure']
  readonly standings: readonly Standing[]
  readonly rates: MachineRates
  /** SHA-512 in one thread, in the middle of what it was before each round. */
  readonly usualHash: number | undefined
  /** Seconds. */
  readonly allowed: number
  /** How they come about. */
  readonly allowance: string
}

/** Hashing is one thread's work. */
function hashLine(
  { own, figure, allowed, allowance }: Miss,
  hashedBytes: number,
  rate: number,
  bound?: string,
): string {
  const name = `of SHA-512 (${(hashedBytes / MiB).toFixed(0)} MiB at ${(rate / MB).toFixed(0)} MB/s)`
  return leastLine(withStart({ seconds: hashedBytes / rate, name }, own, figure), allowed, allowance, bound)
}

/** The same at the rate of the very rounds. */
function usualHashLine(miss: Miss, hashedBytes: number): string | undefined {
  const { usualHash, rates } = miss
  if (usualHash === undefined || usualHash >= rates.hashBytesPerSecond) return undefined
  return hashLine(miss, hashedBytes, usualHash, 'at the rate that the hash had before these rounds')
}

const tookOf = (own: Standing, figure: 'wall' | 'call'): number =>
  figure === 'wall' ? own.seconds.median : own.callSeconds.median

/** Everything is to be on the disk before the call is done, however many processors there are; unless it doesn't wait. */
function diskLine({ own, figure, rates, allowed, allowance }: Miss): string | undefined {
  const written = own.storageWrittenBytes.median
  if (own.name !== ours || written <= MiB || figure === 'cpu') return undefined
  const what = `${(written / MiB).toFixed(0)} MiB`
  const rate = `${(rates.diskBytesPerSecond / MB).toFixed(0)} MB/s`
  const least = { seconds: written / rates.diskBytesPerSecond, name: `for the disk (${what} at ${rate})` }
  const parts = withStart(least, own, figure)
  return leastOf(parts) > tookOf(own, figure)
    ? `${what} were written faster than the ${rate} measured of the disk, which are no limit then`
    : leastLine(parts, allowed, allowance)
}

/** What the same costs without waiting for the disk, measured: the rest is the wait. */
function unsyncedLine({ own, figure, standings, allowed, allowance }: Miss): string | undefined {
  const other = standings.find(({ name }) => name === oursUnsynced)
  if (other === undefined || own === other || figure === 'cpu') return undefined
  const without = tookOf(other, figure)
  const reached = without > allowed ? 'is not reached so either' : 'is reached so'
  return `${seconds(without)} without waiting for the disk (${other.description}); ${allowance} = ${seconds(allowed)} ${reached}`
}

/** What comes over the connection comes no faster than to a reader that does nothing with it. */
function downloadLine({ own, figure, standings, allowed, allowance }: Miss): string | undefined {
  const alone = standings.find(({ name }) => name === download)
  if (alone === undefined || figure === 'cpu') return undefined
  const least = { seconds: alone.seconds.median, name: `for the download (${alone.description})` }
  const parts = withStart(least, own, figure)
  // Whom ours overtakes was held up by something of its own.
  return leastOf(parts) > tookOf(own, figure) ? undefined : leastLine(parts, allowed, allowance)
}

/** Where the time of ours went, as far as it was measured. */
function usageLine(own: Standing, rates: MachineRates): string {
  const wall = own.seconds.median
  const start = startOf(own)
  const coreSeconds = wall * rates.cores
  const busy = own.machineBusySeconds.median
  return [
    `of ${seconds(wall)}, ${seconds(start)} (${percent(start / wall)}) are the start and end of Node.js`,
    `${own.cpuSeconds.median.toFixed(2)} CPU s are ${percent(own.cpuSeconds.median / coreSeconds)} of ${rates.cores} cores, ` +
      `${seconds(busy)} (${percent(busy / coreSeconds)}) with everything else on the machine: ` +
      `${seconds(busy / rates.cores)} at least, evenly shared`,
  ].join('; ')
}

/**
 * The script does nothing but the work: what it is too slow for, the other side of the connection is too slow for;
 * unless ours is quicker, which shows that the script is held up by something else.
 */
function otherSideLine(
  target: Target,
  own: Standing,
  standings: readonly Standing[],
  allowed: number,
): string | undefined {
  const script = standings.find(({ name }) => name === floor)
  if (target.against === floor || target.figure === 'cpu' || script === undefined) return undefined
  const { median } = script.seconds
  if (median <= allowed || own.seconds.median < median) return undefined
  return `${script.description} itself takes ${seconds(median)}, more than the ${seconds(allowed)} allowed: the service, not the sender, is the limit`
}

/**
 * Says of one missed target what limits ours, from the figures of the same run: what can't be done faster, beside
 * what is allowed, and where the time went.
 *
 * @returns sentences; none where the figures say nothing
 */
function limitsOf(
  target: Target,
  standings: readonly Standing[],
  hashedBytes: number | undefined,
  rates: MachineRates,
  usualHash: number | undefined,
): string[] {
  const own = standings.find(({ name }) => name === (target.of ?? ours))
  const other = standings.find(({ name }) => name === target.against)
  if (own === undefined || other === undefined) return []
  const key = target.figure === 'wall' ? 'seconds' : (`${target.figure}Seconds` as const)
  const allowed = target.atMost * other[key].median
  const what = { wall: '', call: "'s call", cpu: "'s CPU" }[target.figure]
  const allowance = `${Number(target.atMost.toFixed(2))} × ${target.against}${what}`
  const otherSide = otherSideLine(target, own, standings, allowed)
  const service = otherSide === undefined ? [] : [otherSide]
  if (hashedBytes === undefined) {
    if (target.figure !== 'wall') return [...service, usageLine(own, rates)]
    // How fast bytes can be sent is not measured by itself: only that the start comes on top of it.
    const start = startOf(own)
    const left = `${seconds(start)} start of Node.js leave ${seconds(Math.max(0, allowed - start))} for the call`
    return [
      `${allowance} = ${seconds(allowed)}, of which ${left}; it took ${seconds(own.callSeconds.median)}`,
      usageLine(own, rates),
    ]
  }
  const miss: Miss = { own, figure: target.figure, standings, rates, usualHash, allowed, allowance }
  return [
    hashLine(miss, hashedBytes, rates.hashBytesPerSecond),
    ...[usualHashLine(miss, hashedBytes), diskLine(miss), unsyncedLine(miss), downloadLine(miss)].filter(
      (line) => line !== undefined,
    ),
    ...service,
    usageLine(own, rates),
  ]
}

/** The result, with what limits ours in every target that was missed against somebody. */
export function explainMisses(
  { targets, hashedBytes }: Pick<Job, 'targets' | 'hashedBytes'>,
  result: JobResult,
  rates: MachineRates,
): JobResult {
  const judgements = result.judgements.map((judgement) => {
    const target = targets.find((candidate) => judgement.what === ratioName(candidate))
    if (judgement.met || target === undefined) return judgement
    const usualHash = result.hashBytesPerSecond?.median
    const limits = limitsOf(target, result.standings, hashedBytes, rates, usualHash)
    return limits.length === 0 ? judgement : { ...judgement, limits }
  })
  return { ...result, judgements }
}
