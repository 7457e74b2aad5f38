import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import type { ImageRecord } from '@disk-image/core'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

const data = randomBytes(3 * 1024 * 1024)

async function makeImage(bench: Workbench, argv: readonly string[] = []): Promise<string> {
  await writeFile(bench.path('disk.raw'), data)
  const create = ['image', 'create', '--name', 'disk', '--disk-format', 'raw', '--file', 'disk.raw']
  const { exitCode, stdout } = await bench.run([...create, ...argv])
  expect(exitCode).toBe(0)
  return stdout.trim()
}

/** Files of the conversion folder: there must be none after any run. */
async function temporaryFiles(bench: Workbench): Promise<string[]> {
  return readdir(bench.path('conversion')).catch(() => [])
}

test('an image is made, listed, shown and deleted', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench, ['--property', 'os_type=linux', '--property', 'a=b=c', '--tag', 'one'])
  expect(id).toMatch(/^[\da-f-]{36}$/)
  const list = await bench.run(['image', 'list'])
  expect(list.stdout).toMatch(new RegExp(`^ID +NAME.*\\n${id} +disk +active +raw +3 MiB\\n$`))
  const { images } = await bench.json<{ images: ImageRecord[] }>(['image', 'list', '--name', 'disk'])
  expect(images).toHaveLength(1)
  const show = await bench.json<ImageRecord>(['image', 'show', id])
  expect(show).toMatchObject({ id, status: 'active', size: data.length, tags: ['one'] })
  expect(show.properties).toEqual({ os_type: 'linux', a: 'b=c' })
  expect((await bench.run(['image', 'show', id])).stdout).toMatch(/^ {2}os_type {2}linux$/m)
  expect(await bench.json(['image', 'delete', id])).toEqual({ exitCode: 0, deleted: [id] })
  expect(await bench.json(['image', 'show', id])).toMatchObject({
    exitCode: 4,
    error: { code: 'IMAGE_NOT_FOUND' },
  })
})

test('a property is set and removed, and the others stay', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench, ['--property', 'os_type=linux', '--property', 'img_signature=AAAA'])
  const changed = await bench.run(['image', 'set', id, '--property', 'os_type=bsd', '--property', 'a=b=c'])
  expect(changed.stdout).toMatch(/^ {2}os_type +bsd$/m)
  const unset = ['image', 'unset', id, '--property', 'img_signature']
  const { properties } = await bench.json<ImageRecord>(unset)
  expect(properties).toEqual({ os_type: 'bsd', a: 'b=c' })
  expect(await bench.json(unset)).toMatchObject({
    exitCode: 1,
    error: { code: 'INVALID', message: `Image ${id} has no property img_signature; it has os_type, a.` },
  })
  for (const argv of [
    ['image', 'set', id],
    ['image', 'unset', id],
    ['image', 'set', id, '--property', 'status=active'],
    ['image', 'set', id, '--property', 'properties=x'],
    ['image', 'set', id, '--property', 'x'],
  ]) {
    expect((await bench.run(argv)).exitCode).toBe(2)
  }
})

test('a wrong format is told with those that are taken, and an empty id is no missing image', async () => {
  await using bench = await openWorkbench()
  const create = ['image', 'create', '--name', 'x', '--disk-format', 'raw', '--container-format', 'tar']
  const { exitCode, stderr } = await bench.run(create)
  expect(exitCode).toBe(1)
  expect(stderr).toContain('container_format is "tar"; it must be one of: ami, ari, aki, bare')
  for (const argv of [
    ['image', 'show', ''],
    ['image', 'delete', ''],
    ['image', 'set', ' ', '--property', 'a=b'],
    ['fetch', '', 'volume.raw'],
  ]) {
    expect(await bench.json(argv)).toMatchObject({ exitCode: 1, error: { code: 'INVALID' } })
  }
})

test('the folder is the user’s own, unless another is named', async () => {
  await using bench = await openWorkbench()
  await makeImage(bench)
  await makeImage(bench, ['--store', 'elsewhere'])
  expect(await readdir(bench.path('.local/share/disk-image/images'))).toHaveLength(2)
  expect(await readdir(bench.path('elsewhere'))).toHaveLength(2)
  const { stores } = await bench.json<{ stores: { description: string }[] }>([
    'image',
    'stores',
    '--store',
    'elsewhere',
  ])
  expect(stores[0]?.description).toBe(bench.path('elsewhere'))
})

test('an image is fetched into a file, and the report has its fixed shape', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const report = await bench.json<{ hash: { value: string }; durationSeconds: object }>([
    'fetch',
    id,
    'volume.raw',
  ])
  expect(report).toEqual({
    exitCode: 0,
    imageId: id,
    volume: bench.path('volume.raw'),
    format: 'raw',
    volumeFormat: 'raw',
    bytesDownloaded: data.length,
    resumedBytes: 0,
    bytesWritten: data.length,
    virtualSizeBytes: data.length,
    hash: { algorithm: 'sha512', value: expect.stringMatching(/^[\da-f]{128}$/), verified: true },
    verified: [{ algorithm: 'sha512', value: expect.stringMatching(/^[\da-f]{128}$/) }],
    warnings: [],
    resumes: 0,
    durationSeconds: { download: expect.any(Number), convert: expect.any(Number), total: expect.any(Number) },
  })
  expect((await readFile(bench.path('volume.raw'))).equals(data)).toBe(true)
  expect(await temporaryFiles(bench)).toEqual([])
})

test('a fetch speaks to a person, and with --quiet not at all', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const { stdout, stderr } = await bench.run(['fetch', id, 'volume.raw'])
  expect(stdout).toMatch(/^Hash +sha512 verified$/m)
  expect(stdout).toMatch(/^Disk +3 MiB \(3145728 bytes\)$/m)
  expect(stderr).toMatch(/^download +3 MiB/m)
  expect(await bench.run(['fetch', id, 'volume.raw', '--quiet'])).toEqual({
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
})

test('each disk of an OVA goes onto its own volume', async () => {
  await using bench = await openWorkbench()
  const files = [data, randomBytes(70_000)]
  const names = ['one.img', 'two.img']
  for (const [index, name] of names.entries()) await writeFile(bench.path(name), files[index] ?? '')
  const disks = names.map((name, index) => [
    `<File ovf:id="f${index}" ovf:href="${name}"/>`,
    `<Disk ovf:diskId="d${index}" ovf:fileRef="f${index}"/>`,
  ])
  const [refs, list] = [0, 1].map((part) => disks.map((disk) => disk[part]).join(''))
  const ovf = `<Envelope xmlns:ovf="o"><References>${refs}</References><DiskSection>${list}</DiskSection></Envelope>`
  await writeFile(bench.path('m.ovf'), ovf)
  execFileSync('tar', ['-C', bench.path('.'), '-cf', bench.path('m.ova'), 'm.ovf', ...names])
  const create = ['image', 'create', '--disk-format', 'raw', '--container-format', 'ova', '--name', 'm']
  const id = (await bench.run([...create, '--file', 'm.ova'])).stdout.trim()
  expect((await bench.run(['fetch', id, 'a.raw', 'b.raw', '--quiet'])).exitCode).toBe(0)
  expect(await readFile(bench.path('a.raw'))).toEqual(data)
  expect((await readFile(bench.path('b.raw'))).subarray(0, 70_000)).toEqual(files[1])
  expect((await bench.run(['fetch', id, 'c.raw', '--disk', 'd1'])).stdout).toMatch(/^Disk of it +two\.img$/m)
  expect((await bench.run(['fetch', id, 'd.raw'])).exitCode).toBe(3)
  expect((await bench.run(['fetch', id, 'd.raw', '--disk', 'd0', '--disk', 'd1'])).exitCode).toBe(2)
  const convert = ['convert', 'm.ova', 'e.raw', 'f.raw', '--from', 'raw', '--to', 'raw', '--quiet']
  expect((await bench.run(convert)).exitCode).toBe(0)
  expect(await readFile(bench.path('e.raw'))).toEqual(data)
  await writeFile(bench.path('disk.gz'), gzipSync(data))
  const unpack = ['convert', 'disk.gz', 'g.raw', '--to', 'raw', '--quiet']
  expect((await bench.run([...unpack, '--from', 'raw'])).exitCode).toBe(0)
  expect(await readFile(bench.path('g.raw'))).toEqual(data)
  expect((await bench.run([...unpack, '--from', 'qcow2'])).exitCode).toBe(3)
  // Onto itself: it would be gone before it is read.
  expect((await bench.run(['convert', 'disk.gz', 'disk.gz', '--from', 'raw', '--to', 'raw'])).exitCode).toBe(
    2,
  )
  expect(await readFile(bench.path('disk.gz'))).toEqual(gzipSync(data))
  const asItIs = await bench.run([...unpack, '--from', 'raw', '--allow-archives-as-raw'])
  expect(asItIs.exitCode).toBe(0)
  expect((await readFile(bench.path('g.raw'))).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]))
  expect(await temporaryFiles(bench)).toEqual([])
})

test('a record without a hash is told of, and one with half a hash is an error', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const file = bench.path(`.local/share/disk-image/images/${id}.json`)
  const record = JSON.parse(await readFile(file, 'utf8')) as ImageRecord
  await writeFile(file, JSON.stringify({ ...record, os_hash_algo: null, os_hash_value: null }))
  const { exitCode, stdout, stderr } = await bench.run(['fetch', id, 'volume.raw'])
  expect(exitCode).toBe(0)
  expect(stdout).toMatch(/^Hash +unverified: nothing to compare with$/m)
  expect(stderr).toContain("The image's bytes could not be verified")
  const report = await bench.json<object>(['fetch', id, 'volume.raw'])
  expect(report).toMatchObject({ hash: null, warnings: [{ rule: 'unverified' }] })
  await writeFile(file, JSON.stringify({ ...record, os_hash_value: record.os_hash_value?.slice(1) }))
  const refused = await bench.run(['fetch', id, 'other.raw'])
  expect(refused.exitCode).toBe(1)
  expect(refused.stderr).toContain('is not a sha512 hash')
  expect(await readdir(bench.folder)).not.toContain('other.raw')
})

test('with --json nothing but the object is printed, on either stream', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  for (const argv of [
    ['fetch', id, 'volume.raw'],
    ['image', 'show', 'missing'],
    ['inspect', 'disk.raw'],
  ]) {
    const { stdout, stderr } = await bench.run([...argv, '--json'])
    expect(typeof JSON.parse(stdout)).toBe('object')
    expect(stderr).toBe('')
  }
})

test('a dry run writes nothing', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const plan = await bench.json<{ steps: string[]; refusals: unknown[] }>([
    'fetch',
    id,
    'volume.raw',
    '--dry-run',
  ])
  expect(plan).toMatchObject({ exitCode: 0, format: 'raw', volumeFormat: 'raw', refusals: [] })
  expect(plan.steps.length).toBeGreaterThan(0)
  expect((await bench.run(['fetch', id, 'volume.raw', '--dry-run'])).stdout).toContain('Nothing was written.')
  expect(await readdir(bench.folder)).not.toContain('volume.raw')
})

test('what does not fit is refused, and nothing is left', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const { exitCode, stdout, stderr } = await bench.run(['fetch', id, 'volume.raw', '--size', '0.001'])
  expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' })
  expect(stderr).toContain('disk-image: ')
  expect(await readdir(bench.folder)).not.toContain('volume.raw')
})

test('a destination that can’t be is refused before anything is read', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  for (const destination of ['/dev/no-such-device', 'missing/folder/volume', '.']) {
    const { exitCode, error } = await bench.json<{ error: { message: string } }>(['fetch', id, destination])
    expect(exitCode).toBe(1)
    expect(error.message).toMatch(/\.$/)
  }
  await symlink('/nowhere/at/all', bench.path('dangling'))
  expect((await bench.run(['fetch', id, 'dangling'])).exitCode).toBe(1)
})

test('an upload prints the id, and its image is the volume', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), data)
  const { stdout, stderr, exitCode } = await bench.run(['upload', 'disk.raw', '--name', 'disk'])
  expect(exitCode).toBe(0)
  const id = stdout.trim()
  expect(stdout).toBe(`${id}\n`)
  expect(stderr).toContain(`as image ${id}: raw, 3 MiB`)
  expect((await bench.run(['upload', 'disk.raw', '--name', 'disk', '--quiet'])).stdout).toMatch(
    /^[\da-f-]{36}\n$/,
  )
  expect(await bench.json(['upload', 'disk.raw', '--name', 'disk', '--property', 'a=b'])).toMatchObject({
    diskFormat: 'raw',
    containerFormat: 'bare',
    bytesUploaded: data.length,
    warnings: [],
  })
  await bench.run(['fetch', id, 'volume.raw'])
  expect((await readFile(bench.path('volume.raw'))).equals(data)).toBe(true)
})

test('an archive in the place of a raw volume is refused before an image is made, unless it is allowed', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), Buffer.concat([Buffer.from('1f8b0800', 'hex'), Buffer.alloc(4092)]))
  for (const format of ['raw', 'qcow2']) {
    const upload = ['upload', 'disk.raw', '--name', 'disk', '--disk-format', format]
    // Nobody says that it is a raw volume: it is unpacked, and nothing is inside.
    expect(await bench.json(upload)).toMatchObject({ exitCode: 3, error: { rule: 'compressed-container' } })
    expect(await bench.json([...upload, '--volume-format', 'raw'])).toMatchObject({
      exitCode: 3,
      error: { rule: 'disk-image', found: 'gzip', offset: 0, accepted: expect.any(String) as unknown },
    })
  }
  expect(await bench.json(['image', 'list'])).toMatchObject({ images: [] })
  const allowed = ['upload', 'disk.raw', '--name', 'disk', '--allow-archives-as-raw']
  expect(await bench.json(allowed)).toMatchObject({ exitCode: 0, warnings: [] })
})

test('whatever else a raw volume begins with is uploaded, with a warning', async () => {
  await using bench = await openWorkbench()
  const begin = Buffer.from('514649fb00000003', 'hex')
  await writeFile(bench.path('disk.raw'), Buffer.concat([begin, Buffer.alloc(4088)]))
  const report = await bench.json(['upload', 'disk.raw', '--name', 'disk'])
  expect(report).toMatchObject({ exitCode: 0, warnings: [{ found: 'qcow2' }] })
})

test('an image without data is filled once', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), data)
  const id = (await bench.run(['image', 'create', '--name', 'empty', '--disk-format', 'raw'])).stdout.trim()
  expect((await bench.json<ImageRecord>(['image', 'show', id])).status).toBe('queued')
  expect((await bench.run(['fetch', id, 'volume.raw'])).exitCode).toBe(1)
  expect(await bench.json(['upload', 'disk.raw', '--image', id])).toMatchObject({ imageId: id, exitCode: 0 })
  expect(await bench.json(['upload', 'disk.raw', '--image', id])).toMatchObject({ exitCode: 2 })
})

test('an upload that fails takes the image back that was made for it', async () => {
  await using bench = await openWorkbench()
  await writeFile(bench.path('disk.raw'), data)
  // The volume is no qcow2, which is only found out behind the making of the image.
  const upload = [
    'upload',
    'disk.raw',
    '--name',
    'disk',
    '--volume-format',
    'qcow2',
    '--disk-format',
    'qcow2',
  ]
  expect((await bench.run(upload)).exitCode).toBe(3)
  expect((await bench.run(['upload', 'missing.raw', '--name', 'disk'])).exitCode).toBe(1)
  expect((await bench.run(['upload', 'disk.raw', '--name', 'disk', '--image', 'x'])).exitCode).toBe(2)
  expect(await bench.json(['image', 'list'])).toEqual({ exitCode: 0, images: [] })
})

test('what an image is called can’t steer the terminal', async () => {
  await using bench = await openWorkbench()
  const name = 'evil\u001b[2J\u001b]0;title\u0007'
  await bench.run(['image', 'create', '--name', name])
  const { stdout } = await bench.run(['image', 'list'])
  expect(stdout).toContain('evil\\x1b[2J\\x1b]0;title\\x07')
  const { images } = await bench.json<{ images: ImageRecord[] }>(['image', 'list'])
  expect(images[0]?.name).toBe(name)
})

test('a cancelled run ends with 130 and leaves nothing', async () => {
  await using bench = await openWorkbench()
  const id = await makeImage(bench)
  const cancelled = { signal: AbortSignal.abort() }
  expect(await bench.json(['fetch', id, 'volume.raw'], cancelled)).toMatchObject({
    exitCode: 130,
    error: { code: 'CANCELLED' },
  })
  const controller = new AbortController()
  const during = await bench.run(['fetch', id, 'volume.raw'], {
    signal: controller.signal,
    terminal: true,
    onStderr: () => controller.abort(),
  })
  // On a terminal the first picture comes with the first report, long before the last byte is verified.
  expect(during.exitCode).toBe(130)
  expect(await readdir(bench.folder)).not.toContain('volume.raw')
  expect(await temporaryFiles(bench)).toEqual([])
})

test('several images are deleted as far as they can be', async () => {
  await using bench = await openWorkbench()
  const [one, two] = [await makeImage(bench), await makeImage(bench)]
  const { exitCode, stderr } = await bench.run(['image', 'delete', one, 'missing', two])
  expect(exitCode).toBe(4)
  expect(stderr).toContain(`Deleted ${two}.`)
  expect(await bench.json(['image', 'list'])).toEqual({ exitCode: 0, images: [] })
})

test('a folder of images imports nothing', async () => {
  await using bench = await openWorkbench()
  const { exitCode, stderr } = await bench.run(['image', 'import', 'some-id', '--uri', 'https://host/file'])
  expect(exitCode).toBe(2)
  expect(stderr).toContain('Only a Glance imports images')
})

/** What stands for this host in the name of a temporary file: the last 24 bits of its name's FNV-1a. */
function hostTag(): string {
  let hash = 0x811c9dc5n
  for (const byte of Buffer.from(hostname())) hash = ((hash ^ BigInt(byte)) * 0x01000193n) % 2n ** 32n
  return (hash % 2n ** 24n).toString(16).padStart(6, '0')
}

test('clean says what it removed', async () => {
  await using bench = await openWorkbench()
  const nothing = { exitCode: 0, directory: bench.path('conversion'), removed: [], sizeBytes: 0, uploads: [] }
  expect(await bench.json(['clean'])).toEqual(nothing)
  expect((await bench.run(['clean'])).stdout).toContain('Nothing was left behind')
  await makeImage(bench, ['--store', 'images'])
  const ofKilled = bench.path(`images/some.data.disk-image-${hostTag()}-999999999-1-0123456789abcdef.partial`)
  await writeFile(ofKilled, 'half')
  await writeFile(bench.path('images/not-ours.data.partial'), 'somebody else')
  expect((await bench.run(['clean'])).stdout).toContain('Nothing was left behind')
  expect(await bench.json(['clean', '--store', 'images'])).toMatchObject({
    uploads: [ofKilled],
  })
  const { images } = await bench.json<{ images: ImageRecord[] }>(['image', 'list', '--store', 'images'])
  expect(images).toHaveLength(1)
})

test("an OVA's descriptor suggests properties, and says in a plan which disk goes where", async () => {
  await using bench = await openWorkbench()
  const disk = (name: string): string =>
    `<Disk ovf:diskId="${name}" ovf:fileRef="${name}" ovf:capacity="1048576"/>`
  const descriptor = `<Envelope xmlns:ovf="o" xmlns:r="r"><References>
    <File ovf:id="a" ovf:href="a.raw"/><File ovf:id="b" ovf:href="b.raw"/></References>
    <DiskSection>${disk('a')}${disk('b')}</DiskSection><VirtualSystem ovf:id="m"><Name>box</Name>
    <OperatingSystemSection ovf:id="96"/></VirtualSystem></Envelope>`
  await writeFile(bench.path('m.ovf'), descriptor)
  for (const name of ['a.raw', 'b.raw']) await writeFile(bench.path(name), data.subarray(0, 1024 ** 2))
  execFileSync('tar', ['-C', bench.path('.'), '-cf', bench.path('m.ova'), 'm.ovf', 'a.raw', 'b.raw'])
  const argv = ['image', 'create', '--name', 'own', '--disk-format', 'raw', '--container-format', 'ova']
  const own = ['--property', 'os_type=bsd', '--properties-from-ovf']
  const { stdout } = await bench.run([...argv, '--file', 'm.ova', ...own])
  const image = await bench.json<ImageRecord>(['image', 'show', stdout.trim()])
  expect(image).toMatchObject({ name: 'own', properties: { os_type: 'bsd', os_distro: 'debian' } })
  const plans = await bench.run(['fetch', stdout.trim(), 'one', 'two', '--dry-run'])
  expect(plans.stdout).toMatch(
    /Volume +.*one\n *Disk of it +a\.raw\n[^]*Volume +.*two\n *Disk of it +b\.raw\n/,
  )
  expect(plans.exitCode).toBe(0)
  const wrong = await bench.run(['fetch', stdout.trim(), 'one', '--disk', 'c.raw', '--dry-run'])
  expect(wrong.stdout).toContain('a.raw, b.raw')
  expect(wrong.exitCode).toBe(3)
  const unpack = ['image', 'create', '--name', 'out', '--disk', 'b.raw', ...own]
  const unpacked = await bench.json<ImageRecord>([...unpack, '--file', 'm.ova'])
  expect(unpacked).toMatchObject({
    name: 'out',
    size: 1024 ** 2,
    min_disk: 1,
    container_format: 'bare',
    properties: { os_type: 'bsd', os_distro: 'debian' },
  })
  execFileSync('tar', ['-C', bench.path('.'), '-cf', bench.path('plain.tar'), 'a.raw', 'b.raw'])
  const plain = await bench.run([...unpack, '--file', 'plain.tar'])
  expect([plain.exitCode, plain.stderr]).toEqual([2, expect.stringContaining('plain.tar is none')])
  const none = await bench.run([...argv, '--file', 'a.raw', ...own])
  expect([none.exitCode, none.stderr]).toEqual([2, expect.stringContaining('a.raw is none')])
})

test('image list --quiet prints ids only', async () => {
  await using bench = await openWorkbench()
  expect((await bench.run(['image', 'list', '--quiet'])).stdout).toBe('')
  const create = ['image', 'create', '--disk-format', 'raw', '--quiet', '--name']
  const ids = [await bench.run([...create, 'a']), await bench.run([...create, 'b'])].map(
    ({ stdout }) => stdout,
  )
  const { stdout } = await bench.run(['image', 'list', '--quiet'])
  expect(stdout.split('\n').toSorted()).toEqual(ids.join('').split('\n').toSorted())
})
