import { open, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { ProcessFileAccess } from '@disk-image/core'
import { refuseAmongDevices } from '../files/block-device.ts'
import { isHeldPath } from '../files/hold-file.ts'

/** One path as the sandbox shall show it. */
export interface Binding {
  readonly path: string
  readonly mode: 'read' | 'write' | 'device'
  /** The descriptor that is open on it in bubblewrap: then nothing else is bound, whatever becomes of its name. */
  readonly descriptor?: number | undefined
}

/** A shell redirects the descriptors up to 9; the watchdog has 3. */
const descriptors = [4, 5, 6, 7, 8, 9]

/**
 * Gives held files a descriptor. bubblewrap itself would look up the name that such a file has at that moment, and
 * bind what it finds there a moment later. Devices are bound by name: nobody but root changes names in /dev.
 */
export function withDescriptors(bindings: readonly Binding[]): Binding[] {
  const free = [...descriptors]
  return bindings.map((binding) =>
    isHeldPath(binding.path) && binding.mode !== 'device'
      ? { ...binding, descriptor: free.shift() }
      : binding,
  )
}

/** What goes before bubblewrap to open the descriptors. Constant scripts: nothing of a path is ever read as shell. */
export function openDescriptors(shell: string, bindings: readonly Binding[]): string[] {
  return bindings.flatMap(({ path: name, descriptor }) =>
    descriptor === undefined ? [] : [shell, '-c', `f=$1; shift; exec "$@" ${descriptor}<"$f"`, 'bind', name],
  )
}

/** What the sandbox is told beside the bindings. */
export interface SandboxSettings {
  /** bubblewrap's absolute path. */
  readonly program: string
  /** Whether it runs as root: then no user namespace is needed, and every capability is dropped. */
  readonly asRoot: boolean
  /** Root without capabilities may not touch other users' files: then it keeps this one. */
  readonly overrideFilePermissions: boolean
  readonly environment: Readonly<Record<string, string>>
}

/** System directories that a program needs to start, read-only. What is not there is left out. */
const systemDirectories = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/nix/store', '/gnu/store']
const systemFiles = [
  '/etc/ld.so.cache',
  '/etc/alternatives',
  '/etc/gcrypt',
  '/etc/gnutls',
  '/etc/crypto-policies',
]

/**
 * bubblewrap's command line: own process, network, IPC and host-name namespaces, no capabilities, an empty
 * `/tmp`, a minimal `/dev`, the system's programs read-only, and the bindings. It dies with its parent.
 */
export function sandboxCommand(
  settings: SandboxSettings,
  bindings: readonly Binding[],
): readonly [string, ...string[]] {
  const namespaces = [
    '--unshare-pid',
    '--unshare-net',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup-try',
  ]
  const privileges = settings.asRoot
    ? ['--cap-drop', 'ALL', ...(settings.overrideFilePermissions ? ['--cap-add', 'CAP_DAC_OVERRIDE'] : [])]
    : ['--unshare-user']
  return [
    settings.program,
    '--die-with-parent',
    ...namespaces,
    ...privileges,
    ...[...systemDirectories, ...systemFiles].flatMap((name) => ['--ro-bind-try', name, name]),
    '--dev',
    '/dev',
    '--tmpfs',
    '/tmp',
    '--chdir',
    '/',
    ...bindings.flatMap(({ path: name, mode, descriptor }) =>
      descriptor === undefined
        ? [bindOption[mode], name, name]
        : [`${bindOption[mode]}-fd`, String(descriptor), name],
    ),
    ...Object.entries(settings.environment).flatMap(([name, value]) => ['--setenv', name, value]),
    '--',
  ]
}

const bindOption = { read: '--ro-bind', write: '--bind', device: '--dev-bind' } as const

/** The bindings of a call, and the files that were made so that they can be bound. */
export interface PreparedFiles {
  readonly bindings: readonly Binding[]
  readonly created: readonly string[]
  /** Some file belongs to another user than the process's own. */
  readonly foreign: boolean
}

/**
 * Turns the declared file access into bindings. A file that the command shall write and that isn't there yet
 * is made, empty, mode 0600: only what exists can be bound. Where only root could make it, its folder is bound.
 *
 * @param userId - whose the command's process will be; 0 through a root helper
 * @throws {InvalidError} for a path that isn't absolute, and for a missing node under `/dev`
 */
export async function prepareFiles(
  files: ProcessFileAccess,
  userId: number,
  ownId: number = process.getuid?.() ?? userId,
): Promise<PreparedFiles> {
  const created: string[] = []
  const found = new Map<string, Binding>()
  let foreign = false
  const add = async (name: string, writes: boolean, make: boolean): Promise<void> => {
    if (!path.isAbsolute(name) || name.includes('\0')) {
      throw new InvalidError({ reason: `A sandboxed command's files must be absolute paths, not '${name}'` })
    }
    const seen = await look(name)
    if (seen === 'missing' && make) {
      const made = await createEmpty(name, userId !== ownId)
      if (made === 'forbidden') {
        await add(path.dirname(name), true, false)
        return
      }
      if (made === 'made') created.push(name)
      foreign ||= userId !== ownId
    }
    // Not bound, so not there in the sandbox either: the command itself says so, in its own words.
    if (seen === 'missing' && !make) return
    foreign ||= seen === 'hidden' || (typeof seen === 'object' && seen.uid !== userId)
    const device = typeof seen === 'object' ? seen.device : name.startsWith('/dev/')
    if (found.get(name)?.mode === 'write') return
    found.set(name, { path: name, mode: device ? 'device' : writes ? 'write' : 'read' })
  }
  for (const name of files.writeDirectories ?? []) await add(name, true, false)
  for (const name of files.read ?? []) await add(name, false, false)
  for (const name of files.write ?? []) await add(name, true, true)
  // Directories before what lies in them: a later binding covers an earlier one.
  const bindings = [...found.values()].sort((a, b) => a.path.length - b.path.length)
  return { bindings, created, foreign }
}

async function look(name: string): Promise<{ device: boolean; uid: number } | 'missing' | 'hidden'> {
  try {
    const found = await stat(name)
    return { device: found.isBlockDevice() || found.isCharacterDevice(), uid: found.uid }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
    return 'hidden'
  }
}

const notAllowed = new Set(['EACCES', 'EPERM'])
const notPossible = new Set([...notAllowed, 'ENOENT', 'ENOTDIR', 'EROFS'])

/** @returns 'there' where another made it first; 'forbidden' only where somebody else may try */
async function createEmpty(name: string, others: boolean): Promise<'made' | 'there' | 'forbidden'> {
  const folder = await realpath(path.dirname(name)).catch(() => path.dirname(name))
  await refuseAmongDevices(path.join(folder, path.basename(name)), name)
  try {
    const file = await open(name, 'wx', 0o600)
    await file.close()
    return 'made'
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return 'there'
    if (others && notAllowed.has(code)) return 'forbidden'
    if (!notPossible.has(code)) throw error
    throw new InvalidError({ reason: `${name} can't be made: ${(error as Error).message}`, cause: error })
  }
}
