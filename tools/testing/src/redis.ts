import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { requireTool } from './require-tool.ts'
import { freePort, listens, startServer } from './server.ts'

/** How a Redis is started. */
export interface RedisOptions {
  /** Where it listens. @default '127.0.0.1' */
  readonly host?: string
  /** Put before the command, for example to run it in a network namespace. */
  readonly prefix?: readonly string[]
}

/** A Redis that runs, with an append-only file that is written with every command. */
export interface RunningRedis extends AsyncDisposable {
  readonly host: string
  readonly port: number
  readonly url: string
  /** Kills it without a word and starts it again on the same port, with what its file has. */
  restart(downMs?: number): Promise<void>
  stop(): Promise<void>
}

/** Starts Debian's Redis with its data in a temporary directory. It ends with this process, whatever ends that. */
export async function startRedis(options: RedisOptions = {}): Promise<RunningRedis> {
  const { host = '127.0.0.1', prefix = [] } = options
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-redis-'))
  const port = await freePort(host)
  const place = ['--bind', host, '--port', String(port), '--dir', directory]
  const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always']
  const open = ['--protected-mode', 'no', '--logfile', '']
  const command = [requireTool('redis-server'), ...place, ...kept, ...open] as const
  const isReady = (): Promise<boolean> => listens(port, { host, say: 'PING\r\n', answer: '+PONG' })
  const start = (): Promise<() => Promise<void>> => startServer(command, isReady, { prefix })
  let kill = await start()
  const stop = async (): Promise<void> => {
    await kill()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  return {
    host,
    port,
    url: `redis://${host}:${port}`,
    restart: async (downMs = 0) => {
      await kill()
      await delay(downMs)
      kill = await start()
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
