import { constants } from 'node:os'
import type { ProcessEndReason, ProcessLimits } from '@disk-image/core'

/** How a process ended, as the kernel and its output say. */
export interface ProcessEnd {
  readonly exitCode: number | undefined
  readonly signalName: string | undefined
  readonly stderr: string
  readonly durationMs: number
  readonly limits: ProcessLimits | undefined
  /** A sandbox or root helper stood between: it reports a signal as exit code 128 + number. */
  readonly wrapped: boolean
  /** Processors that can use up CPU time at once. */
  readonly processors: number
}

// The first name of a number counts: SIGIOT is an old name of SIGABRT, SIGPOLL of SIGIO.
const signalNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
)

/** Signals with which C programs end when `malloc` or `pthread_create` fails. */
const abortSignals = new Set(['SIGABRT', 'SIGTRAP'])

const memoryText =
  /cannot allocate memory|out of memory|failed to allocate|unable to allocate|failed to map segment|bad_alloc|(?:thread_create|pthread_create).*resource temporarily unavailable/i

/** The signal that ended the process, also where a wrapper turned it into an exit code. */
export function endSignal(end: Pick<ProcessEnd, 'exitCode' | 'signalName' | 'wrapped'>): string | undefined {
  if (end.signalName !== undefined) return end.signalName
  if (!end.wrapped || end.exitCode === undefined || end.exitCode <= 128) return undefined
  return signalNames.get(end.exitCode - 128)
}

/** Names the end of a process that did not succeed. */
export function nameEnd(end: ProcessEnd): ProcessEndReason {
  const signal = endSignal(end)
  const { cpuSeconds, addressSpaceBytes, fileSizeBytes } = end.limits ?? {}
  if (cpuSeconds !== undefined) {
    if (signal === 'SIGXCPU') return 'cpu-limit'
    // The kernel kills at the hard limit, which looks like anybody's SIGKILL: only late enough it can be that.
    if (signal === 'SIGKILL' && end.durationMs * end.processors >= cpuSeconds * 1000) return 'cpu-limit'
  }
  if (addressSpaceBytes !== undefined) {
    if (signal !== undefined && abortSignals.has(signal)) return 'memory-limit'
    if (memoryText.test(end.stderr)) return 'memory-limit'
  }
  if (fileSizeBytes !== undefined && (signal === 'SIGXFSZ' || /file too large/i.test(end.stderr))) {
    return 'file-size-limit'
  }
  return signal === undefined ? 'exit' : 'signal'
}

/** What can be done about an end, as a sentence. */
export function endAdvice(reason: ProcessEndReason, end: ProcessEnd): string | undefined {
  if (reason === 'memory-limit') {
    return `Its limit was ${end.limits?.addressSpaceBytes} bytes of address space.`
  }
  if (reason === 'file-size-limit') return `Its limit was ${end.limits?.fileSizeBytes} bytes in a file.`
  if (reason === 'cpu-limit') return `Its limit was ${end.limits?.cpuSeconds} seconds of CPU time.`
  if (reason === 'signal' && endSignal(end) === 'SIGKILL') {
    return 'Nobody here sent that signal: the machine may have run out of memory.'
  }
  return undefined
}
