import type { Logger } from '@disk-image/core'

/** Characters that a shell leaves alone. */
const plainWord = /^[\w@%+=:,./-]+$/

/** A command as it could be typed into a shell. */
export function shellCommand(words: readonly string[]): string {
  return words.map((word) => (plainWord.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
}

/**
 * Log lines for a person: warnings always, everything else, commands that are run above all, with `--verbose`.
 */
export function createLogger(
  write: (line: string) => void,
  options: { readonly quiet: boolean; readonly verbose: boolean },
): Logger {
  const line = (message: string, fields: Readonly<Record<string, unknown>> = {}): string => {
    const { command, ...rest } = fields
    if (Array.isArray(command) && command.every((word) => typeof word === 'string')) {
      return `+ ${shellCommand(command)}${describe(rest)}`
    }
    return `${message}${describe(fields)}`
  }
  const verbose = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    if (options.verbose) write(line(message, fields))
  }
  const loud = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    if (!options.quiet || options.verbose) write(`disk-image: ${line(message, fields)}`)
  }
  return { debug: verbose, info: verbose, warn: loud, error: loud }
}

function describe(fields: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => (value === true ? name : `${name}=${textOf(value)}`))
  return parts.length === 0 ? '' : `  (${parts.join(', ')})`
}

/** A value of a log line as text; an error is told by its message. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Error) return value.message
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

/** How the lines are made. */
interface DebugLoggerOptions {
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
