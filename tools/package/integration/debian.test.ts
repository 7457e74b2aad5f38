import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
let folder: string
let root: string
let file: string

/** Runs a program of the folder that the package was installed into, with this machine's libraries and nothing else. */
async function inside(...words: string[]): Promise<string> {
  const places = ['/lib64', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
  const libraries = places.flatMap((place) =>
    existsSync(place) ? ['--ro-bind', place, place.replace(/^\/usr\/lib\/(?=.*-linux)/, '/lib/')] : [],
  )
  const bind = ['--bind', root, '/', ...libraries, '--proc', '/proc', '--dev', '/dev', '--clearenv']
  const { stdout } = await run(requireTool('bwrap', 'bubblewrap'), [...bind, '--unshare-net', '--', ...words])
  return stdout
}

beforeAll(async () => {
  requireTool('dpkg-deb', 'dpkg')
  requireTool('strip', 'binutils')
  folder = await mkdtemp(path.join(tmpdir(), 'debian-'))
  const tool = path.join(import.meta.dirname, '../debian.ts')
  file = (await run(process.execPath, [tool, '--fast', folder])).stdout.trim()
  root = path.join(folder, 'root')
  const state = path.join(root, 'var/lib/dpkg')
  for (const name of ['info', 'updates']) await mkdir(path.join(state, name), { recursive: true })
  await writeFile(path.join(state, 'status'), '')
  // What it depends on is this machine's.
  const force = ['--force-depends', '--force-not-root', `--log=${path.join(folder, 'log')}`]
  await run('dpkg', [`--root=${root}`, ...force, '--install', file])
})

afterAll(() => rm(folder, { recursive: true }))

test('dpkg installs the package into an empty folder, where the command runs', async () => {
  const { stdout: depends } = await run('dpkg-deb', ['--field', file, 'Depends'])
  // Debian's own nodejs is too old in Debian 12.
  expect(depends).toMatch(/libc6/)
  expect(depends).not.toMatch(/nodejs/)
  await run(requireTool('qemu-img', 'qemu-utils'), [
    'create',
    '-f',
    'qcow2',
    path.join(root, 'disk.qcow2'),
    '1M',
  ])
  expect(await inside('/usr/bin/disk-image', '--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(await inside('/usr/bin/disk-image', 'inspect', '/disk.qcow2')).toContain('Verdict  safe')
  await inside('/usr/bin/disk-image', 'fetch', '/disk.qcow2', '/disk.raw')
})

test('man, the shells and systemd find what is theirs', async () => {
  const pages = path.join(root, 'usr/share/man/man1')
  expect(await readdir(pages)).toContain('disk-image-image-create.1.gz')
  const page = path.join(pages, 'disk-image-fetch.1.gz')
  expect(
    (await run(requireTool('man', 'man-db'), ['-l', page], { env: { ...process.env, MANPAGER: 'cat' } }))
      .stdout,
  ).toMatch(/SYNOPSIS/)
  const bash = 'source "$1" && complete -p disk-image'
  const share = path.join(root, 'usr/share')
  const words = ['-c', bash, '-', path.join(share, 'bash-completion/completions/disk-image')]
  expect((await run('bash', words)).stdout).toContain('_disk_image')
  const zsh = 'fpath=($1 $fpath); autoload -U compinit; compinit -D -u; print $_comps[disk-image]'
  const vendor = path.join(share, 'zsh/vendor-completions')
  expect((await run(requireTool('zsh', 'zsh'), ['-f', '-c', zsh, '-', vendor])).stdout).toBe('_disk_image\n')
  const fish = path.join(share, 'fish/vendor_completions.d/disk-image.fish')
  await run(requireTool('fish', 'fish'), ['--no-execute', fish])
  const unit = path.join(root, 'usr/lib/systemd/system/disk-image-worker.service')
  await access(unit)
})

test('the licences of what is bundled are in it', async () => {
  const { stdout } = await run('cat', [path.join(root, 'usr/share/doc/disk-image/copyright')], {
    maxBuffer: 2 ** 22,
  })
  for (const name of ['undici', 'bullmq', 'commander', 'Node.js']) expect(stdout).toContain(name)
})
