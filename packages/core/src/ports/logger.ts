/** One line of a log. A pino logger fits as it is, see {@link adaptLogger}; so does winston's. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

const ignore = (): void => undefined

/** Says nothing. The default everywhere. */
export const silentLogger: Logger = Object.freeze({
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
})

/** What every logger of pino carries, whatever its version; pino registers it for that purpose. */
const pinoMarker = Symbol.for('pino.serializers')

type FieldsFirst = Record<keyof Logger, (fields: object, message: string) => void>

/**
 * The logger that a package was given, or none, as the port has it.
 *
 * pino takes the fields before the message, and drops them where they come after it: its calls are turned round.
 * An error among the fields goes by pino's own name for it, `err`, so that its stack is kept.
 */
export function adaptLogger(logger: Logger | undefined): Logger {
  if (logger === undefined) return silentLogger
  if (!(pinoMarker in logger)) return logger
  const pino = logger as unknown as FieldsFirst
  const turned =
    (level: keyof Logger): Logger['info'] =>
    (message, { error, ...fields } = {}) =>
      pino[level](
        error === undefined ? fields : { ...fields, [error instanceof Error ? 'err' : 'error']: error },
        message,
      )
  return Object.freeze({
    debug: turned('debug'),
    info: turned('info'),
    warn: turned('warn'),
    error: turned('error'),
  })
}
