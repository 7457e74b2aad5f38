import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { requireTool } from './require-tool.ts'

/** An HTTP proxy that runs. */
export interface RunningTinyproxy extends AsyncDisposable {
  /** Without user name and password. */
  readonly url: string
  readonly port: number
  /** The requests that it was asked for so far: `CONNECT 127.0.0.1:443`, `GET http://…`. */
  requests(): Promise<string[]>
}

/** Starts Debian's tinyproxy on loopback. @param login `user password`, where it asks for them */
export async function startTinyproxy(login?: string): Promise<RunningTinyproxy> {
  const program = requireTool('tinyproxy', 'tinyproxy-bin')
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-tinyproxy-'))
  const port = await freePort('127.0.0.1')
  const log = path.join(directory, 'log')
  const lines = [
    `Port ${port}`,
    'Listen 127.0.0.1',
    `LogFile "${log}"`,
    'LogLevel Connect',
    'Timeout 60',
    'MaxClients 50',
    ...(login === undefined ? [] : [`BasicAuth ${login}`]),
  ]
  await writeFile(path.join(directory, 'conf'), `${lines.join('\n')}\n`)
  const words = ['--pdeathsig', 'KILL', program, '-d', '-c', path.join(directory, 'conf')]
  const child = spawn(requireTool('setpriv', 'util-linux'), words, { stdio: 'ignore' })
  const ended = once(child, 'exit')
  for (let tries = 0; !(await answers(port)); tries += 1) {
    if (tries > 200 || child.exitCode !== null) throw new Error('tinyproxy does not answer')
    await delay(50)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: async () =>
      [...(await readFile(log, 'utf8')).matchAll(/Request \(file descriptor \d+\): (.*) HTTP\/1/g)].map(
        ([, request = '']) => request,
      ),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
