import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'

const run = promisify(execFile)

/** A host of its own, as far as the network is concerned. */
export interface TestHost {
  readonly name: string
  readonly address: string
  /** Put before a command that shall run there. */
  readonly prefix: readonly string[]
  /** Pulls the cable: packets are lost, and nobody is told. */
  disconnect(): Promise<void>
  connect(): Promise<void>
}

/** Some hosts on a network of their own. */
export interface TestNetwork extends AsyncDisposable {
  /** Of this process in that network. */
  readonly address: string
  readonly hosts: readonly TestHost[]
}

/** Makes hosts as network namespaces on a bridge. It needs root, or sudo without a password. */
export async function createNetwork(count: number): Promise<TestNetwork> {
  const isRoot = process.getuid?.() === 0
  const root = isRoot ? [] : [requireTool('sudo'), '-n']
  // Root is needed to go there, not to be there.
  const self = [`--reuid=${process.getuid?.()}`, `--regid=${process.getgid?.()}`, '--clear-groups']
  const again = isRoot ? [] : [requireTool('setpriv', 'util-linux'), ...self]
  const ip = async (...words: readonly string[]): Promise<void> => {
    const [file = '', ...rest] = [...root, requireTool('ip', 'iproute2'), ...words]
    await run(file, rest)
  }
  const id = `df${process.pid.toString(36)}`
  const subnet = `10.${randomInt(200, 255)}.${randomInt(1, 255)}`
  const bridge = `${id}b`
  const undo: (() => Promise<void>)[] = []
  const dispose = async (): Promise<void> => {
    for (const task of undo.toReversed()) await task()
  }
  try {
    await ip('link', 'add', bridge, 'type', 'bridge')
    undo.push(() => ip('link', 'del', bridge))
    await ip('addr', 'add', `${subnet}.1/24`, 'dev', bridge)
    await ip('link', 'set', bridge, 'up')
    const hosts: TestHost[] = []
    for (let index = 0; index < count; index += 1) {
      const name = `${id}h${index}`
      const address = `${subnet}.${index + 2}`
      const cable = `${id}v${index}`
      await ip('netns', 'add', name)
      undo.push(() => ip('netns', 'del', name))
      await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
      // Before its namespace: what still holds on to that would keep the cable.
      undo.push(() => ip('link', 'del', cable))
      await ip('link', 'set', cable, 'master', bridge, 'up')
      await ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
      await ip('-n', name, 'link', 'set', 'eth0', 'up')
      await ip('-n', name, 'link', 'set', 'lo', 'up')
      hosts.push({
        name,
        address,
        prefix: [...root, requireTool('ip', 'iproute2'), 'netns', 'exec', name, ...again],
        // Out of the bridge, with the cable still up: packets are lost without an error.
        disconnect: () => ip('link', 'set', cable, 'nomaster'),
        connect: () => ip('link', 'set', cable, 'master', bridge),
      })
    }
    return { address: `${subnet}.1`, hosts, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
