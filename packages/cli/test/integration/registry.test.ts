import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { requireTool, type RunningRegistry, startRegistry } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Ended, startCommand } from '../helpers/command.ts'

const run = promisify(execFile)
let folder: string
let registry: RunningRegistry

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cli-registry-'))
  registry = await startRegistry({ auth: 'token' })
  const qemuImg = requireTool('qemu-img')
  await run(qemuImg, ['create', '-q', '-f', 'raw', path.join(folder, 'disk.raw'), '8M'])
  await run(requireTool('mkfs.ext4'), ['-q', path.join(folder, 'disk.raw')])
  await run(qemuImg, [
    'convert',
    '-O',
    'qcow2',
    path.join(folder, 'disk.raw'),
    path.join(folder, 'disk.qcow2'),
  ])
  await run(qemuImg, ['convert', '-O', 'vmdk', path.join(folder, 'disk.raw'), path.join(folder, 'disk.vmdk')])
  const backing = [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-b',
    'disk.raw',
    '-F',
    'raw',
    path.join(folder, 'overlay.qcow2'),
  ]
  await run(qemuImg, backing)
})
afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const command = (...words: string[]): Promise<Ended> => {
  const plain = [registry.host, registry.tokenHost ?? ''].flatMap((host) => ['--plain-http', host])
  const environment = { REGISTRY_AUTH_FILE: registry.authFile }
  return startCommand([...words, ...plain], { cwd: folder, environment }).ended
}

const isDisk = async (file: string): Promise<boolean> =>
  (await readFile(path.join(folder, file))).equals(await readFile(path.join(folder, 'disk.raw')))

test.each([
  ['containerdisk', 'disk.qcow2', 'qcow2', 'application/vnd.oci.image.layer.v1.tar+gzip'],
  ['artifact', 'disk.vmdk', 'vmdk', 'application/octet-stream'],
  ['kubevirt', 'disk.raw', 'raw', 'application/vnd.kubevirt.disk.raw+gzip'],
])(
  'push as %s says the reference to pin, skopeo finds the image there, fetch writes its disk',
  async (as, file, format, type) => {
    const reference = `oci://${registry.host}/disks/${as}:1`
    const { exitCode, stdout } = await command(
      'push',
      file,
      reference,
      '--as',
      as,
      '--json',
      '--annotation',
      'a=b',
    )
    expect(exitCode).toBe(0)
    const report = JSON.parse(stdout) as { reference: string; digest: string }
    expect(report).toMatchObject({ reference: `${reference}@${report.digest}`, diskFormat: format, as })
    const words = ['inspect', '--raw', '--tls-verify=false', '--authfile', registry.authFile]
    const pinned = `docker://${registry.host}/disks/${as}@${report.digest}`
    const inspected = await run(requireTool('skopeo'), [...words, pinned])
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      layers: [{ mediaType: type }],
      annotations: { a: 'b' },
    })
    const fetched = await command('fetch', reference, `${as}.raw`, '--json')
    expect(fetched).toMatchObject({ exitCode: 0, stderr: '' })
    expect(JSON.parse(fetched.stdout)).toMatchObject({ imageId: report.reference, hash: { verified: true } })
    expect(await isDisk(`${as}.raw`)).toBe(true)
  },
)

test('what skopeo copied into a folder is fetched, inspected and made an image of', async () => {
  const source = `docker://${registry.host}/disks/containerdisk:1`
  const words = [
    'copy',
    '--quiet',
    '--insecure-policy',
    '--src-tls-verify=false',
    '--src-authfile',
    registry.authFile,
  ]
  await run(requireTool('skopeo'), [...words, source, `oci:${path.join(folder, 'layout')}:disk`])
  const fetched = await command('fetch', 'oci:layout:disk', 'layout.raw')
  expect(fetched.exitCode).toBe(0)
  expect(await isDisk('layout.raw')).toBe(true)
  const inspected = await command('inspect', 'oci:layout:disk', '--json')
  expect(JSON.parse(inspected.stdout)).toMatchObject({
    inside: {
      opened: ['gzip', 'tar'],
      problem: null,
      disks: [{ format: 'qcow2', isWhole: true, safe: true }],
    },
  })
  const create = ['image', 'create', '--name', 'a', '--store', 'images']
  const made = await command(...create, '--file', 'oci:layout:disk', '--json')
  expect(JSON.parse(made.stdout)).toMatchObject({ status: 'active', disk_format: 'qcow2' })
})

test('what is at one place in a registry is pushed to another, with its checksum compared', async () => {
  const [source, target] = ['disks/artifact:1', 'copied/artifact:1'].map(
    (name) => `oci://${registry.host}/${name}`,
  )
  const vmdk = await readFile(path.join(folder, 'disk.vmdk'))
  const words = ['push', source ?? '', target ?? '', '--as', 'artifact', '--json', '--checksum']
  const right = `sha256:${createHash('sha256').update(vmdk).digest('hex')}`
  const { exitCode, stdout } = await command(...words, right)
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ blob: { digest: right, size: vmdk.length }, diskFormat: 'vmdk' })
  const wrong = await command(
    'push',
    source ?? '',
    `oci://${registry.host}/copied/wrong:1`,
    '--as',
    'artifact',
    '--checksum',
    `sha256:${'0'.repeat(64)}`,
  )
  expect(wrong.exitCode).toBe(1)
  expect((await command('fetch', `oci://${registry.host}/copied/wrong:1`, 'wrong.raw')).exitCode).toBe(4)
})

test('what is not safe, or not what it is said to be, is not pushed', async () => {
  const reference = `oci://${registry.host}/disks/none:1`
  expect((await command('push', 'overlay.qcow2', reference)).exitCode).toBe(3)
  expect((await command('push', 'disk.qcow2', reference, '--disk-format', 'vmdk')).exitCode).toBe(3)
  const vmdk = await command('push', 'disk.vmdk', reference)
  expect(vmdk).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('push it as an artifact') as string,
  })
  const file = path.join(folder, 'wrong.json')
  const login = (await readFile(registry.authFile, 'utf8')).replace(
    /"auth":"[^"]*"/,
    `"auth":"${btoa('me:geheim')}"`,
  )
  await writeFile(file, login)
  const wrong = await command('push', 'disk.qcow2', reference, '--auth-file', file)
  expect(wrong).toMatchObject({ exitCode: 5, stderr: expect.not.stringContaining('geheim') as string })
})
