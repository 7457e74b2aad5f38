import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { requireTool } from './require-tool.ts'

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
  const server = requireTool('redis-server')
  const { host = '127.0.0.1', prefix = [] } = options
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-redis-'))
  const port = await freePort(host)
  const words = [
    ...prefix,
    // Ends the server when this process is killed.
    requireTool('setpriv', 'util-linux'),
    '--pdeathsig',
    'KILL',
    server,
    '--bind',
    host,
    '--port',
    String(port),
    '--dir',
    directory,
    '--save',
    '',
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--protected-mode',
    'no',
    '--logfile',
    '',
  ]
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    const [file = '', ...rest] = words
    const child = spawn(file, rest, { stdio: 'ignore' })
    const ended = once(child, 'exit')
    for (let tries = 0; tries < 200; tries += 1) {
      if (await answers(host, port)) return child
      const over = await Promise.race([ended, delay(50)])
      if (over !== undefined) throw new Error(`redis-server ended at once: ${String(over)}`)
    }
    child.kill('SIGKILL')
    throw new Error('redis-server does not answer')
  }
  let child = await start()
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
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
      child = await start()
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function answers(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host)
  try {
    await once(socket, 'connect')
    socket.write('PING\r\n')
    const [reply] = (await Promise.race([once(socket, 'data'), delay(500, [''])])) as [Buffer | string]
    return reply.toString().startsWith('+PONG')
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
