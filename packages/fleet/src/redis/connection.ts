import { InvalidError } from '@disk-image/core'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { RedisUnreachableError } from '../errors.ts'

/** Where Redis is, and who signs in there. */
export interface FleetConnectionOptions {
  /** @default '127.0.0.1' */
  readonly host?: string
  /** @default 6379 */
  readonly port?: number
  readonly username?: string
  readonly password?: string
  /** The number of the database. @default 0 */
  readonly db?: number
  /** Options of `tls.connect`; an empty object is TLS with the system's authorities. */
  readonly tls?: object
}

/** `redis://HOST:PORT/DB`, `rediss://` for TLS, or the same as an object. */
export type FleetConnection = string | FleetConnectionOptions

/** Replies as they were before the protocol's third version. */
type ClientOptions = RedisOptions & { readonly replyMapping: 'legacy' }

/** What is added to it for one use or another. */
interface ConnectionManners {
  readonly retryStrategy: (times: number) => number
  readonly maxRetriesPerRequest: number | null
}

/**
 * ioredis's options of a connection.
 *
 * @throws {InvalidError} for what is no address of a Redis; a password in it is not repeated
 */
export function connectionOptions(connection: FleetConnection): FleetConnectionOptions {
  if (typeof connection !== 'string') return connection
  const url = URL.parse(connection)
  if (url === null || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') {
    throw new InvalidError({
      reason: 'The address of Redis must be redis://HOST:PORT or rediss://HOST:PORT.',
    })
  }
  const database = url.pathname.slice(1)
  if (!/^\d{0,4}$/.test(database)) {
    throw new InvalidError({ reason: "The path of Redis's address must be the number of a database." })
  }
  return {
    // An IPv6 address stands in brackets in a URL, and without them everywhere else.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { db: Number(database) }),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

/**
 * What the engine's connections are made with: they wait for Redis as long as it takes, and try again at short
 * intervals, because a worker without Redis is of no use.
 */
export function engineOptions(connection: FleetConnection): FleetConnectionOptions & ConnectionManners {
  return {
    retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 5), 2000),
    ...connectionOptions(connection),
    maxRetriesPerRequest: null,
  }
}

/**
 * A connection for short commands, which fail rather than wait: leases, permits, cancellation.
 *
 * @param timeoutMs how long one command may take
 */
export function connectBriefly(connection: FleetConnection, timeoutMs: number): Redis {
  const options: ClientOptions = {
    ...(connectionOptions(connection) as RedisOptions),
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 4), 500),
    commandTimeout: timeoutMs,
    connectTimeout: Math.max(timeoutMs, 500),
    maxRetriesPerRequest: 1,
    replyMapping: 'legacy',
  }
  const client = new Redis(options)
  // Whoever waits for a command is told; a connection that comes and goes has no other listener.
  client.on('error', () => undefined)
  return client
}

/** A connection that only listens, and comes back by itself. */
export function connectListening(connection: FleetConnection): Redis {
  const options: ClientOptions = { ...(engineOptions(connection) as RedisOptions), replyMapping: 'legacy' }
  const client = new Redis(options)
  client.on('error', () => undefined)
  return client
}

/** Where Redis is, for a message: without name and password. */
function addressOf(connection: FleetConnection): string {
  const { host = '127.0.0.1', port = 6379 } = connectionOptions(connection)
  return `${host}:${port}`
}

/**
 * Asks Redis whether it is there.
 *
 * @throws {RedisUnreachableError}
 */
export async function checkRedis(redis: Redis, connection: FleetConnection): Promise<void> {
  let last: unknown
  const note = (error: unknown): void => {
    last = error
  }
  redis.on('error', note)
  try {
    await redis.ping()
  } catch (error) {
    // That no more tries are made says less than why the tries failed.
    throw new RedisUnreachableError({ address: addressOf(connection), cause: last ?? error })
  } finally {
    redis.off('error', note)
  }
}

const names = new Set(['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'])
const messages = new Set(['Command timed out', 'Connection is closed.', 'Socket closed unexpectedly'])

/** Whether an error says that Redis could not be asked, rather than anything of the job. */
export function isRedisFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Our aborts have the same name as ioredis's, which is not a DOMException.
  return messages.has(error.message) || (names.has(error.name) && !(error instanceof DOMException))
}
