import { performance } from 'node:perf_hooks'
import type { Clock } from '@disk-image/core'

/** The machine's own clock. */
export function createClock(): Clock {
  return Object.freeze({
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
  })
}
