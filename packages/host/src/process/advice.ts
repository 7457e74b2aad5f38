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
