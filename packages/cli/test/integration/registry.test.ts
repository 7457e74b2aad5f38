import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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

test('a credential helper is asked where it is named, and what it says is in no log', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'pass-'))
  const environment = {
    ...process.env,
    HOME: home,
    GNUPGHOME: home,
    PASSWORD_STORE_DIR: path.join(home, 'store'),
  }
  const shell = (script: string): Promise<unknown> => run('sh', ['-euc', script], { env: environment })
  try {
    for (const tool of ['gpg', 'pass', 'docker-credential-pass']) requireTool(tool)
    await shell(
      'gpg --batch --quiet --passphrase "" --quick-gen-key tester default default; pass init tester',
    )
    const login = { ServerURL: registry.host, Username: registry.username, Secret: registry.password }
    await writeFile(path.join(home, 'login'), JSON.stringify(login))
    await shell('docker-credential-pass store < "$HOME/login"')
    await mkdir(path.join(home, '.docker'))
    await writeFile(path.join(home, '.docker', 'config.json'), JSON.stringify({ credsStore: 'pass' }))
    const plain = `${registry.host},${registry.tokenHost}`
    const fetch = (words: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> =>
      startCommand(['fetch', `oci://${registry.host}/disks/containerdisk:1`, 'helped.raw', ...words], {
        cwd: folder,
        environment: {
          HOME: home,
          GNUPGHOME: home,
          PASSWORD_STORE_DIR: path.join(home, 'store'),
          NODE_DEBUG: 'disk-image',
          DISK_IMAGE_REGISTRY_PLAIN_HTTP: plain,
          ...more,
        },
      }).ended
    const refused = await fetch([])
    expect(refused).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('--credential-helper pass') as string,
    })
    const helped = await fetch(['--credential-helper', 'pass'])
    expect(helped.exitCode).toBe(0)
    expect(helped.stderr).toContain('docker-credential-pass')
    expect(helped.stderr).not.toContain(registry.password)
    expect(await isDisk('helped.raw')).toBe(true)
    const missing = await fetch([], { DISK_IMAGE_REGISTRY_HELPERS: 'absent' })
    expect(missing.stderr).toContain('docker-credential-absent gave no credentials')
  } finally {
    await shell('gpgconf --kill gpg-agent').catch(() => undefined)
    await rm(home, { recursive: true, force: true })
  }
}, 60_000)

test('a mirror is asked first, with whatever certificate where that is allowed, and only where it is named', async () => {
  await using mirror = await startRegistry({ tls: true })
  const insecure = ['--insecure-registry', mirror.host]
  const pushed = await command('push', 'disk.qcow2', `oci://${mirror.host}/mirrored/a:1`, ...insecure)
  expect(pushed).toMatchObject({ exitCode: 0 })
  const fetch = ['fetch', `oci://${registry.host}/mirrored/a:1`, 'mirrored.raw']
  const named = ['--mirror', `${registry.host}=${mirror.host}`]
  expect(await command(...fetch, ...insecure)).toMatchObject({ exitCode: 4 })
  expect(await command(...fetch, ...named)).toMatchObject({ exitCode: 4 })
  expect(await command(...fetch, ...named, ...insecure)).toMatchObject({ exitCode: 0 })
  expect(await isDisk('mirrored.raw')).toBe(true)
  expect(await command(...fetch, '--mirror', 'a')).toMatchObject({ exitCode: 2 })
}, 60_000)
