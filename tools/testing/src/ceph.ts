import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { requireTool } from './require-tool.ts'
import { freePort, startServer } from './server.ts'

const run = promisify(execFile)

/** A Ceph of one monitor and one object store, with everything in one temporary directory and its data in memory. */
export interface RunningCeph extends AsyncDisposable {
  /** Absolute path of its configuration. */
  readonly configuration: string
  readonly pool: string
  stop(): Promise<void>
}

function configurationOf(directory: string, id: string, ports: readonly [number, number]): string {
  return [
    '[global]',
    `fsid = ${id}`,
    `mon host = [v2:127.0.0.1:${ports[0]},v1:127.0.0.1:${ports[1]}]`,
    'mon initial members = a',
    ...['cluster', 'service', 'client'].map((part) => `auth ${part} required = none`),
    'public addr = 127.0.0.1',
    'cluster addr = 127.0.0.1',
    'osd pool default size = 1',
    'osd pool default min size = 1',
    'mon allow pool size one = true',
    'osd crush chooseleaf type = 0',
    'osd objectstore = memstore',
    'memstore device bytes = 1073741824',
    'osd class load list = *',
    `mon data = ${directory}/mon`,
    `osd data = ${directory}/osd`,
    `run dir = ${directory}/run`,
    `admin socket = ${directory}/run/$name.$pid.asok`,
    `log file = ${directory}/log/$name.log`,
    'setuser match path =',
    '',
  ].join('\n')
}

/** Starts a Ceph from Debian's packages; it takes about 10 s, and ends with this process, whatever ends that. */
export async function startCeph(pool: string = 'volumes'): Promise<RunningCeph> {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-ceph-'))
  const started: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const kill of started) await kill()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  const configuration = path.join(directory, 'ceph.conf')
  const tool = async (name: string, debianPackage: string, ...words: readonly string[]): Promise<void> => {
    await run(requireTool(name, debianPackage), words, { timeout: 60_000, cwd: directory })
  }
  const daemon = async (name: string, ...words: readonly string[]): Promise<void> => {
    const command = [requireTool(name), '--conf', configuration, '-f', ...words] as const
    // What is asked next waits for it.
    started.push(await startServer(command, () => Promise.resolve(true), { cwd: directory }))
  }
  const ask = (...words: readonly string[]): Promise<void> =>
    tool('ceph', 'ceph-common', '--conf', configuration, '--connect-timeout', '5', ...words)
  const insist = async (...words: readonly string[]): Promise<void> => {
    for (let tries = 0; ; tries += 1) {
      try {
        return await ask(...words)
      } catch (error) {
        if (tries === 10) throw error
        await delay(500)
      }
    }
  }
  try {
    const [id, osd] = [randomUUID(), randomUUID()]
    const ports = [await freePort('127.0.0.1'), await freePort('127.0.0.1')] as const
    for (const name of ['mon', 'osd', 'run', 'log']) await mkdir(path.join(directory, name))
    await writeFile(configuration, configurationOf(directory, id, ports))
    const address = `[v2:127.0.0.1:${ports[0]},v1:127.0.0.1:${ports[1]}]`
    await tool('monmaptool', 'ceph-common', '--create', '--fsid', id, '--addv', 'a', address, 'monmap')
    await tool('ceph-mon', 'ceph-mon', '--conf', configuration, '--mkfs', '-i', 'a', '--monmap', 'monmap')
    await daemon('ceph-mon', '-i', 'a')
    await insist('osd', 'new', osd)
    await tool('ceph-osd', 'ceph-osd', '--conf', configuration, '-i', '0', '--mkfs', '--osd-uuid', osd)
    await daemon('ceph-osd', '-i', '0')
    await insist('osd', 'pool', 'create', pool, '8', '8')
    // The first command of a client answers when the pool can be used.
    await tool('rbd', 'ceph-common', '--conf', configuration, 'ls', pool)
    return { configuration, pool, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}
