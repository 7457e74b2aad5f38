import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  createReadStream,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import type { UploadSource } from '@disk-image/core'
import { createDirectoryImageService, createGlanceImageService } from '@disk-image/image-utils'
import { makeEncryptedImage, requireTool, startGlance } from '@disk-image/testing'

/** The image of every sample: a qcow2 with a disk of 64 MiB. */
export const imageId = 'b0a1c2d3-e4f5-4678-9abc-def012345678'

/** Folders of the pages that samples really get, inside of their own folder. */
const absoluteFolders = /(^|[\s'"`(=])(\/(?:var\/lib\/images|var\/tmp|dev\/vg0?|srv|etc\/disk-image)\b)/g

/** A sample's text with the paths and the servers of the pages led to those of the stage. */
export function moveIntoStage(text: string, folder: string, glanceUrl: string, webUrl: string): string {
  return text
    .replaceAll(absoluteFolders, (_, before: string, file: string) => `${before}${folder}${file}`)
    .replaceAll('http://glance.example:9292', glanceUrl)
    .replaceAll('https://images.example', webUrl)
}

const volumes = ['dev/vg/volume-1', 'dev/vg/volume-2', 'dev/vg/volume-3', 'dev/vg0/volume']
const record = {
  id: imageId,
  name: 'ubuntu',
  disk_format: 'qcow2',
  container_format: 'bare',
  owner: 'a-project',
}

function qemuImg(cwd: string, ...args: string[]): void {
  execFileSync(requireTool('qemu-img'), args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
}

function uploadOf(file: string): UploadSource {
  return { size: statSync(file).size, open: () => createReadStream(file) }
}

/** Files that the pages name, at the paths that they have there. */
async function fillFolder(folder: string): Promise<void> {
  const images = path.join(folder, 'var/lib/images')
  for (const directory of ['var/lib/images', 'var/tmp', 'dev/vg', 'dev/vg0', 'etc/disk-image', 'vhds']) {
    mkdirSync(path.join(folder, directory), { recursive: true })
  }
  writeFileSync(path.join(folder, 'etc/disk-image/passphrase'), 'correct horse', { mode: 0o600 })
  const disk = path.join(folder, 'disk.raw')
  execFileSync('truncate', ['-s', '64M', disk])
  execFileSync(requireTool('mkfs.ext4'), ['-q', '-F', disk])
  for (const volume of volumes) execFileSync('cp', ['--sparse=always', disk, path.join(folder, volume)])
  const fromDisk = (format: string, file: string, ...options: string[]): void =>
    qemuImg(folder, 'convert', '-f', 'raw', '-O', format, ...options, 'disk.raw', file)
  fromDisk('qcow2', 'ubuntu.qcow2')
  writeFileSync(
    path.join(folder, 'SHA256SUMS'),
    execFileSync('sha256sum', ['ubuntu.qcow2'], { cwd: folder, encoding: 'utf8' }),
  )
  fromDisk('qcow2', 'disk.qcow2')
  fromDisk('vmdk', 'disk.vmdk')
  fromDisk('vpc', 'vhds/0.vhd', '-o', 'force_size=on')
  fromDisk('raw', 'var/lib/images/disk')
  fromDisk('qcow2', 'var/lib/images/disk.qcow2')
  qemuImg(
    folder,
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    '/etc/hostname',
    '-F',
    'raw',
    'suspicious.qcow2',
    '64M',
  )
  const secret = `secret,id=key,file=${path.join(folder, 'etc/disk-image/passphrase')}`
  const encryption = ['-f', 'luks', '--object', secret, '-o', 'key-secret=key,iter-time=10']
  await makeEncryptedImage(['create', '-q', ...encryption, 'encrypted.img', '16M'], { cwd: folder })
  execFileSync('tar', ['-C', path.join(folder, 'vhds'), '-czf', path.join(folder, 'image.vhd.tgz'), '0.vhd'])
  renameSync(path.join(folder, 'vhds'), path.join(folder, 'chain'))
  const service = createDirectoryImageService({ directory: images })
  await service.create({}, record, { data: uploadOf(path.join(folder, 'ubuntu.qcow2')) })
}

/** The clouds that the pages name. */
function describeClouds(glanceUrl: string): string {
  const cloud = { auth_type: 'none', auth: { endpoint: glanceUrl } }
  return JSON.stringify({ clouds: { 'my-cloud': cloud, production: cloud } })
}

/** Where the samples are run: copies of one folder, and a real Glance, both with the image of the pages. */
export interface Stage extends AsyncDisposable {
  readonly glanceUrl: string
  /** A web server with `ubuntu.qcow2`, and a list of its checksum. */
  readonly webUrl: string
  /** A folder of its own for one sample. */
  open(): string
}

/** A web server of the plainest kind. */
async function serveFiles(
  folder: string,
  names: readonly string[],
): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    const name = names.find((one) => request.url === `/${one}`)
    if (name === undefined) {
      response.writeHead(404).end()
      return
    }
    const file = path.join(folder, name)
    response.writeHead(200, { 'Content-Length': statSync(file).size })
    createReadStream(file).pipe(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

/** Makes the files and starts the servers. */
export async function createStage(): Promise<Stage> {
  const root = mkdtempSync(path.join(os.tmpdir(), 'disk-image-samples-'))
  const template = path.join(root, 'template')
  mkdirSync(template)
  const [glance] = await Promise.all([startGlance(), fillFolder(template)])
  writeFileSync(path.join(template, 'clouds.yaml'), describeClouds(glance.url))
  const service = createGlanceImageService({ endpoint: glance.url })
  await service.create({}, record, { data: uploadOf(path.join(template, 'ubuntu.qcow2')) })
  const web = await serveFiles(template, ['ubuntu.qcow2', 'SHA256SUMS'])
  let copies = 0
  return {
    glanceUrl: glance.url,
    webUrl: web.url,
    open() {
      copies += 1
      const folder = path.join(root, String(copies))
      execFileSync('cp', ['-a', '--sparse=always', template, folder])
      return folder
    },
    async [Symbol.asyncDispose]() {
      rmSync(root, { recursive: true, force: true })
      web.server.close()
      await glance.stop()
    },
  }
}
