import { createHash, randomBytes } from 'node:crypto'

const MiB = 1024 ** 2

/** What this machine can do at most, measured before the rest. */
export interface Machine {
  readonly cores: number
  /** SHA-512 in one thread. */
  readonly hashBytesPerSecond: number
  /** Synced. @see measureDisk */
  readonly diskBytesPerSecond: number
  /** Of a fetch of next to nothing. */
  readonly startSeconds: number
}

/** What one row moves, and over what. */
export interface Work {
  /** Over the wire, in all streams together. */
  readonly wireBytes: number
  /** That end up on the disk. */
  readonly dataBytes: number
  readonly streams: number
  /** Parallel connections of each stream. */
  readonly connections: number
  readonly linkBytesPerSecond?: number | undefined
  readonly roundTripMs?: number | undefined
  readonly windowBytes?: number | undefined
}

/** The bound that a row is nearest to. */
export interface Limit {
  readonly name: string
  /** Seconds that it would take if there were nothing else, start included. */
  readonly seconds: number
}

/**
 * SHA-512's rate in one thread: the most of several seconds, since a virtual machine may be a third slower in one
 * second than in the next, and no transfer may be said to be bounded by less than the hash can do.
 *
 * @param times of a third of a second, about; 1 tells what it is at the moment
 */
export function measureHash(times = 8): number {
  const block = randomBytes(MiB)
  const run = (blocks: number): number => {
    const hash = createHash('sha512')
    const started = performance.now()
    for (let index = 0; index < blocks; index += 1) hash.update(block)
    hash.digest()
    return (blocks * MiB) / ((performance.now() - started) / 1000)
  }
  run(64)
  return Math.max(...Array.from({ length: times }, () => run(256)))
}

/**
 * Every bound of a row, the one that it is nearest to first.
 *
 * @param cpuSeconds what it took of the processors: nobody can be done before these are shared out
 */
export function limitsOf(machine: Machine, work: Work, cpuSeconds: number): Limit[] {
  const { wireBytes, dataBytes, streams, connections } = work
  const hashing = Math.min(streams, machine.cores) * machine.hashBytesPerSecond
  const bounds: [name: string, seconds: number][] = [
    ['SHA-512 on one core', streams === 1 ? wireBytes / hashing : 0],
    ['SHA-512 on all cores', streams === 1 ? 0 : wireBytes / hashing],
    ['the disk', dataBytes / machine.diskBytesPerSecond],
    ['the link', wireBytes / (work.linkBytesPerSecond ?? Infinity)],
  ]
  if (work.roundTripMs !== undefined && work.roundTripMs > 0 && work.windowBytes !== undefined) {
    const perSecond = (work.windowBytes / work.roundTripMs) * 1000 * connections * streams
    bounds.push([connections === 1 ? 'window / round trip' : 'windows / round trip', wireBytes / perSecond])
  }
  const { startSeconds } = machine
  const limits = bounds.map(([name, seconds]) => ({ name, seconds: seconds + startSeconds }))
  limits.push({ name: 'the processors', seconds: cpuSeconds / machine.cores })
  const nearestFirst = limits.toSorted((a, b) => b.seconds - a.seconds)
  const start = { name: 'starting Node.js', seconds: startSeconds }
  // Where everything else together takes less than half of it, the start is what one waits for.
  return (nearestFirst[0]?.seconds ?? 0) < startSeconds * 1.5
    ? [start, ...nearestFirst]
    : [...nearestFirst, start]
}
