import { accessSync, constants } from 'node:fs'
import path from 'node:path'

/** Debian's package of each program that a test may need. */
const packages: Readonly<Record<string, string>> = {
  bwrap: 'bubblewrap',
  cryptsetup: 'cryptsetup-bin',
  'docker-credential-pass': 'golang-docker-credential-helpers',
  gpg: 'gnupg',
  'glance-api': 'glance-api',
  'keystone-manage': 'keystone',
  htpasswd: 'apache2-utils',
  losetup: 'mount',
  mke2fs: 'e2fsprogs',
  'mkfs.ext4': 'e2fsprogs',
  nbdkit: 'nbdkit',
  nginx: 'nginx-light',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  strace: 'strace',
  tinyproxy: 'tinyproxy-bin',
  uwsgi: 'uwsgi-core',
  vhdiinfo: 'libvhdi-utils',
}

const directories = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin', '/sbin']

/** The absolute path of a program, or undefined where it is not installed. */
export function findTool(name: string): string | undefined {
  return directories
    .map((directory) => path.join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/**
 * The absolute path of a program that a test can't do without.
 *
 * @throws where it is missing, with the command that installs it: a test is never skipped in silence
 */
export function requireTool(name: string, debianPackage: string = packages[name] ?? name): string {
  const file = findTool(name)
  if (file === undefined) {
    throw new Error(`${name} is not installed. Install it with: apt-get install -y ${debianPackage}`)
  }
  return file
}
