import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { requireTool } from './require-tool.ts'
import { freePort, listens, startServer } from './server.ts'

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
  const kill = await startServer([program, '-d', '-c', path.join(directory, 'conf')], () => listens(port))
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: async () =>
      [...(await readFile(log, 'utf8')).matchAll(/Request \(file descriptor \d+\): (.*) HTTP\/1/g)].map(
        ([, request = '']) => request,
      ),
    [Symbol.asyncDispose]: async () => {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
