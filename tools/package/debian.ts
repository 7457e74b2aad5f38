/**
 * Builds the Debian package of the command into `.cache/package`, or the folder that it is told: the one file, the
 * Node.js that runs it (Debian 12 has an older one), pages for man, completion, and a unit for workers. `--fast`
 * doesn't press it hard.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { readJson } from '../checks/workspace.ts'

const root = path.resolve(import.meta.dirname, '../..')
const command = path.join(root, 'packages/cli')
const { version } = readJson(path.join(command, 'package.json')) as { readonly version: string }
const node = path.join(root, 'node_modules/node/bin/node')
const architecture = process.arch === 'x64' ? 'amd64' : process.arch
const words = process.argv.slice(2)
const isFast = words.includes('--fast')
const folder = path.resolve(words.find((word) => word !== '--fast') ?? path.join(root, '.cache/package'))
const tree = mkdtempSync(path.join(tmpdir(), 'disk-image-deb-'))
const time =
  process.env['SOURCE_DATE_EPOCH'] ??
  execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }).trim()

function put(name: string, content: string | Buffer, mode = 0o644): string {
  const file = path.join(tree, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, content)
  chmodSync(file, mode)
  return file
}

/** As Debian's policy wants it: pages and what changed are compressed, without a time inside. */
function putPacked(name: string, content: string | Buffer): void {
  put(`${name}.gz`, gzipSync(content, { level: 9 }))
}

function putProgram(): void {
  mkdirSync(path.join(tree, 'usr/lib/disk-image'), { recursive: true })
  cpSync(node, path.join(tree, 'usr/lib/disk-image/node'))
  execFileSync('strip', ['--strip-unneeded', path.join(tree, 'usr/lib/disk-image/node')])
  const file = path.join(tree, 'usr/lib/disk-image/disk-image')
  execFileSync(process.execPath, [path.join(import.meta.dirname, 'single-file.ts'), `${file}.mjs`])
  const text = readFileSync(`${file}.mjs`, 'latin1')
  // The Node.js beside it, whatever else is called node on that machine.
  put('usr/lib/disk-image/disk-image.mjs', text.replace(/^#!.*/, '#!/usr/lib/disk-image/node'), 0o755)
  mkdirSync(path.join(tree, 'usr/bin'))
  symlinkSync('../lib/disk-image/disk-image.mjs', path.join(tree, 'usr/bin/disk-image'))
}

function putPages(): void {
  const pages = path.join(tree, 'pages')
  const tool = path.join(root, 'tools/build/man-pages.ts')
  execFileSync(process.execPath, ['--conditions=@disk-image/source', tool, pages], { cwd: command })
  for (const page of readdirSync(pages)) {
    putPacked(`usr/share/man/man1/${page}`, readFileSync(path.join(pages, page)))
  }
  rmSync(pages, { recursive: true })
}

function putCompletion(): void {
  const script = (shell: string): string =>
    execFileSync(
      process.execPath,
      [path.join(tree, 'usr/lib/disk-image/disk-image.mjs'), 'completion', shell],
      {
        encoding: 'utf8',
      },
    )
  put('usr/share/bash-completion/completions/disk-image', script('bash'))
  put('usr/share/zsh/vendor-completions/_disk_image', script('zsh'))
  put('usr/share/fish/vendor_completions.d/disk-image.fish', script('fish'))
}

function putUnit(): void {
  const unit = readFileSync(path.join(root, 'docs/examples/fleet/disk-image-worker.service'), 'utf8')
  const packaged = unit
    .replace(/^# \/etc\/systemd.*\n#\n/, '')
    .replace('/usr/bin/env disk-image', '/usr/bin/disk-image')
  put('usr/lib/systemd/system/disk-image-worker.service', packaged)
}

function putDocuments(): void {
  const bundled = /\/\*! ([\s\S]*?)\n\*\//.exec(
    readFileSync(path.join(tree, 'usr/lib/disk-image/disk-image.mjs'), 'latin1'),
  )
  const licence = readFileSync(path.join(import.meta.dirname, 'node-licence.txt'), 'utf8')
  const copyright = [
    'The command disk-image: https://github.com/disk-image/disk-image',
    'Copyright: its authors. License: Apache-2.0, in /usr/share/common-licenses/Apache-2.0.',
    bundled?.[1] ?? '',
    `And Node.js, /usr/lib/disk-image/node:\n\n${licence}`,
  ]
  // Debian has the text of this one.
  const text = copyright
    .join('\n\n')
    .replaceAll(
      /Apache License\s+Version 2\.0, January 2004[\s\S]*?END OF TERMS AND CONDITIONS/g,
      '/usr/share/common-licenses/Apache-2.0',
    )
  put('usr/share/doc/disk-image/copyright', text)
  const day = new Date(Number(time) * 1000).toUTCString().replace('GMT', '+0000')
  const change = `disk-image (${version}) stable; urgency=medium\n\n  * Version ${version}.\n\n -- ${maintainer}  ${day}\n`
  putPacked('usr/share/doc/disk-image/changelog', change)
  // Node.js is the package's own, as Debian 12 has an older one.
  const tags = ['embedded-library', 'missing-dep-for-interpreter', 'wrong-path-for-interpreter']
  put('usr/share/lintian/overrides/disk-image', tags.map((tag) => `disk-image: ${tag}\n`).join(''))
}

function putControl(): void {
  const sizeKiB =
    execFileSync('du', ['-sk', '--apparent-size', tree], { encoding: 'utf8' }).split('\t')[0] ?? ''
  const fields = [
    'Package: disk-image',
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    `Maintainer: ${maintainer}`,
    `Installed-Size: ${sizeKiB}`,
    'Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8)',
    'Recommends: bubblewrap, qemu-utils',
    'Section: admin',
    'Priority: optional',
    'Homepage: https://github.com/disk-image/disk-image',
    'Description: moves disk images between image services and volumes, safely',
    ' The command disk-image inspects disk images before anything opens them, judges',
    ' them, and puts them onto volumes or makes them of volumes: qcow2, VMDK, VHD,',
    ' VHDX, VDI, OVA, LUKS and others, from and to Glance, URLs, S3, OCI registries',
    ' and files. It brings the Node.js that runs it.',
  ]
  put('DEBIAN/control', `${fields.join('\n')}\n`)
  const sums = execFileSync('bash', ['-c', 'find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum'], {
    cwd: tree,
  })
  put('DEBIAN/md5sums', sums)
}

const maintainer = 'disk-image <disk-image@users.noreply.github.com>'
putProgram()
putPages()
putCompletion()
putUnit()
putDocuments()
putControl()
execFileSync('chmod', ['-R', 'u=rwX,go=rX', tree])
mkdirSync(folder, { recursive: true })
const output = path.join(folder, `disk-image_${version}_${architecture}.deb`)
const pressed = isFast ? ['-Zgzip', '-z1'] : ['-Zxz']
execFileSync('dpkg-deb', ['--root-owner-group', ...pressed, '--build', tree, output], {
  env: { ...process.env, SOURCE_DATE_EPOCH: time },
})
rmSync(tree, { recursive: true })
console.log(output)
