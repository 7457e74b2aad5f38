import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { requireTool } from './require-tool.ts'

/** A port on which nobody listens at the moment. */
export async function freePort(host: string = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Whether somebody listens on a port, and answers what is said as expected. */
export async function listens(
  port: number,
  { host = '127.0.0.1', say, answer = '' }: { host?: string; say?: string; answer?: string } = {},
): Promise<boolean> {
  const socket = connect(port, host)
  try {
    await once(socket, 'connect')
    if (say === undefined) return true
    socket.write(say)
    const [reply] = (await Promise.race([once(socket, 'data'), delay(500, [''])])) as [Buffer | string]
    return reply.toString().startsWith(answer)
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/**
 * Starts a server, which ends with this process, whatever ends that, and waits until it is ready.
 *
 * @param prefix put before the command, for example to run it in a network namespace
 * @returns what kills it, without a word
 */
export async function startServer(
  [file, ...words]: readonly [string, ...string[]],
  isReady: () => Promise<boolean>,
  { prefix = [], cwd }: { readonly prefix?: readonly string[]; readonly cwd?: string } = {},
): Promise<() => Promise<void>> {
  const command = [...prefix, requireTool('setpriv', 'util-linux'), '--pdeathsig', 'KILL', file, ...words]
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: 'ignore', cwd })
  const ended = once(child, 'exit')
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
  const kill = async (): Promise<void> => {
    if (!isOver()) child.kill('SIGKILL')
    await ended
  }
  for (let tries = 0; tries < 200 && !isOver(); tries += 1) {
    if (await isReady().catch(() => false)) return kill
    await Promise.race([ended, delay(50)])
  }
  await kill()
  throw new Error(`${file} does not answer`)
}
