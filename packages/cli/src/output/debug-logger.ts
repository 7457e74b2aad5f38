import type { Logger } from '@disk-image/core'
import { textOf } from './logger.ts'

/** How the lines are made. */
export interface DebugLoggerOptions {
  readonly processId: number
  /** Milliseconds since some fixed moment. */
  readonly now: () => number
}

/** Whether Node's own variable for this asks for us: `NODE_DEBUG=disk-image`, among others, or `*`. */
export function debugWanted(value: string | undefined): boolean {
  return (value ?? '')
    .split(',')
    .map((word) => word.trim().toLowerCase())
    .some((word) => word === 'disk-image' || word === '*')
}

/** Every line of every level, with the process and the milliseconds since the start, as `util.debuglog` has them. */
export function createDebugLogger(
  write: (line: string) => void,
  { processId, now }: DebugLoggerOptions,
): Logger {
  const started = now()
  const at =
    (level: string): Logger['debug'] =>
    (message, fields = {}) => {
      const told = Object.entries(fields).map(([name, value]) => ` ${name}=${textOf(value)}`)
      write(`DISK-IMAGE ${processId}: +${Math.round(now() - started)} ms ${level} ${message}${told.join('')}`)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Tells two loggers. */
export function both(first: Logger, second: Logger): Logger {
  const at =
    (level: keyof Logger): Logger['debug'] =>
    (message, fields) => {
      first[level](message, fields)
      second[level](message, fields)
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
