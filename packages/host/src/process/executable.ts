import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import path from 'node:path'

/** Where programs are looked for unless the runner is told otherwise. Includes root's own folders. */
export const defaultSearchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * The absolute path of a program, or undefined where it is not installed. A name with a slash in it is
 * not looked for, only checked.
 */
export async function findExecutable(name: string, searchPath: string): Promise<string | undefined> {
  if (name === '' || name.includes('\0')) return undefined
  const candidates = name.includes('/')
    ? [path.resolve(name)]
    : searchPath
        .split(':')
        .filter((directory) => path.isAbsolute(directory))
        .map((directory) => path.join(directory, name))
  for (const candidate of candidates) {
    if (await isExecutable(candidate)) return candidate
  }
  return undefined
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}

/** Debian's package of each tool that these packages start. */
const packages: ReadonlyMap<string, string> = new Map([
  ['blkdiscard', 'util-linux'],
  ['blockdev', 'util-linux'],
  ['bwrap', 'bubblewrap'],
  ['bzip2', 'bzip2'],
  ['cgexec', 'cgroup-tools'],
  ['cryptsetup', 'cryptsetup-bin'],
  ['ionice', 'util-linux'],
  ['losetup', 'mount'],
  ['nbdkit', 'nbdkit'],
  ['prlimit', 'util-linux'],
  ['qemu-img', 'qemu-utils'],
  ['qemu-io', 'qemu-utils'],
  ['qemu-nbd', 'qemu-utils'],
  ['sudo', 'sudo'],
  ['xz', 'xz-utils'],
])

/** How to get a program that is missing, as a sentence, where that is known. */
export function installAdvice(program: string): string {
  const name = program.slice(program.lastIndexOf('/') + 1)
  const debianPackage = packages.get(name)
  return debianPackage === undefined
    ? `${name} is not installed, or not on the search path.`
    : `Install it with: apt-get install ${debianPackage}`
}
