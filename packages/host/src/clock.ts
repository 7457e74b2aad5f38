import { performance } from 'node:perf_hooks'
import os from 'node:os'
import type { Clock } from '@disk-image/core'

/** The machine's own clock. */
export function createClock(): Clock {
  return Object.freeze({
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
  })
}

/** By how much two of the clocks may run apart before the third is asked, which costs 20 µs. */
const apartMs = 50

/**
 * Milliseconds since the machine's start, the same in every process and thread, to some ten milliseconds. Unlike
 * Node.js' own clocks it goes on while the machine is suspended (CLOCK_BOOTTIME).
 *
 * @returns the clock; what it remembers is one thread's own
 * @see clock_gettime(2), proc_uptime(5)
 */
export function createBootClock(): () => number {
  let suspendedMs = 0
  let wallAheadMs = Infinity
  return () => {
    const runMs = Number(process.hrtime.bigint() / 1000n) / 1000
    const aheadMs = Date.now() - runMs
    // After a suspension the time of day is ahead; somebody may also have set it.
    if (Math.abs(aheadMs - wallAheadMs) > apartMs) {
      suspendedMs = Math.max(suspendedMs, os.uptime() * 1000 - runMs)
      wallAheadMs = aheadMs
    }
    return runMs + suspendedMs
  }
}
