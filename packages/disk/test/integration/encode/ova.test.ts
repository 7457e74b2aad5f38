import { createHash } from 'node:crypto'
import { open, writeFile } from 'node:fs/promises'
import { type EncodedImage, InvalidError, type RandomAccessReader } from '@disk-image/core'
import {
  encodeOva,
  machineOfProperties,
  openDisk,
  openRaw,
  type OvaContent,
  type OvaMachine,
  type OvaOptions,
  type Spool,
  Unwrapper,
} from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { readAll, readerOf } from '../../unit/formats/read-all.ts'
import { createFolder, tool } from '../formats/tools.ts'

const MiB = 1024 ** 2
const random = new Random(5)
const first = new Uint8Array(3 * MiB + 1024).map((_, at) => (at < MiB ? random.below(256) : 0))
const second = new Uint8Array(70 * MiB).fill(7, 66 * MiB, 67 * MiB)

async function contentOf(
  machine: OvaMachine,
  readers: Readonly<Record<string, RandomAccessReader>>,
): Promise<OvaContent> {
  const disks = Object.entries(readers).map(async ([name, reader]) => ({ name, disk: await openRaw(reader) }))
  return { machine, disks: await Promise.all(disks) }
}

const both = { 'a.vmdk': readerOf(first), 'b.vmdk': readerOf(second) }

async function bytesOf(image: EncodedImage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

async function spoolIn(file: string): Promise<Spool & AsyncDisposable> {
  const handle = await open(file, 'w+')
  return {
    file: handle,
    write: async (chunk, offset) => void (await handle.write(chunk, 0, chunk.length, offset)),
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/** The members of an OVA, as our own reader takes them when its manifest holds, and what its descriptor says. */
async function unpack(bytes: Uint8Array): Promise<{ disks: Map<string, Buffer>; unwrapper: Unwrapper }> {
  const parts = new Map<string, Buffer[]>()
  const unwrapper = new Unwrapper({
    imageId: 'i',
    expected: 'any',
    maxBytes: 1e9,
    open: ({ name = '-' }) => {
      const own: Buffer[] = []
      parts.set(name, own)
      return { write: (piece) => void own.push(Buffer.from(piece)) }
    },
  })
  try {
    for (let at = 0; at < bytes.length; at += 65_536) await unwrapper.write(bytes.subarray(at, at + 65_536))
    await unwrapper.end()
  } finally {
    await unwrapper.close()
  }
  return { disks: new Map([...parts].map(([name, own]) => [name, Buffer.concat(own)])), unwrapper }
}

test('an OVA is the same however it is made, and gives back disks and machine', async () => {
  await using folder = await createFolder()
  await using spool = await spoolIn(folder.file('spool'))
  const machine: OvaMachine = {
    name: ` Büro <1> & "2's"`,
    controller: 'pvscsi',
    firmware: 'efi',
    operatingSystem: 'ubuntu64Guest',
    memoryMiB: 2048,
    processors: 4,
  }
  const content = await contentOf(machine, both)
  const bytes = await bytesOf(await encodeOva(content, { workers: 0 }))
  const others: OvaOptions[] = [{ workers: 2 }, { workers: 2, spool }]
  for (const options of others) {
    const image = await encodeOva(content, options)
    expect((await bytesOf(image)).equals(bytes)).toBe(true)
    expect((await bytesOf(image)).equals(bytes)).toBe(true)
    expect(image.temporaryBytes > 0).toBe(options.spool !== undefined)
  }
  const written = Buffer.alloc(bytes.length, 0xee)
  const image = await encodeOva(content, { workers: 2 })
  let last = -1
  const length = await image.writeTo({
    write: (chunk, offset) => {
      written.set(chunk, offset)
      last = offset
      return Promise.resolve()
    },
    zero: (offset, count) => Promise.resolve(void written.fill(0, offset, offset + count)),
  })
  expect([length, last, written.equals(bytes)]).toEqual([bytes.length, 0, true])

  const { disks, unwrapper } = await unpack(bytes)
  expect([...disks.keys()]).toEqual(['a.vmdk', 'b.vmdk'])
  expect(unwrapper.hasManifest).toBe(true)
  expect(unwrapper.ovf).toMatchObject({
    name: machine.name.trim(),
    operatingSystem: 'ubuntu64Guest',
    firmware: 'efi',
    memoryMiB: 2048,
    processors: 4,
    disks: [
      { file: 'a.vmdk', name: 'Hard Disk 1', capacityBytes: first.length, bus: 'scsi', isDelta: false },
      { file: 'b.vmdk', name: 'Hard Disk 2', capacityBytes: second.length, controllerModel: 'VirtualSCSI' },
    ],
  })
  for (const [name, content] of [
    ['a.vmdk', first],
    ['b.vmdk', second],
  ] as const) {
    await using disk = await openDisk(readerOf(disks.get(name) ?? Buffer.alloc(0)), 'vmdk')
    expect(Buffer.compare(await readAll(disk), content)).toBe(0)
  }

  const file = folder.file('machine.ova')
  await writeFile(file, bytes)
  expect((await tool('tar', '-tf', file)).split('\n')).toEqual([
    'B-ro-1-2-s-.ovf',
    'B-ro-1-2-s-.mf',
    'a.vmdk',
    'b.vmdk',
    '',
  ])
  const manifest = await tool('tar', '-xOf', file, 'B-ro-1-2-s-.mf')
  const sha256 = createHash('sha256')
    .update(disks.get('a.vmdk') ?? '')
    .digest('hex')
  expect(manifest).toContain(`SHA256(a.vmdk)= ${sha256}\n`)
})

test('many disks have each their place', async () => {
  const names = Array.from({ length: 15 }, (_, index) => `disk-${index}.vmdk`)
  const tiny = Object.fromEntries(names.map((name) => [name, readerOf(new Uint8Array(512))]))
  const orders = { lsilogic: 15, sata: 15, nvme: 15, ide: 4 } as const
  for (const [controller, count] of Object.entries(orders)) {
    const some = Object.fromEntries(Object.entries(tiny).slice(0, count))
    const machine = { name: 'm', controller: controller as keyof typeof orders }
    const { unwrapper } = await unpack(
      await bytesOf(await encodeOva(await contentOf(machine, some), { workers: 0 })),
    )
    expect(unwrapper.ovf?.disks.map(({ file }) => file)).toEqual(names.slice(0, count))
    expect(new Set(unwrapper.ovf?.disks.map(({ bus }) => bus)).size).toBe(1)
  }
})

test('a disk that changes, fails or ends makes no whole OVA', async () => {
  let reads = 0
  const changing: RandomAccessReader = {
    size: MiB,
    read: (_, length) => {
      reads += 1
      return Promise.resolve(new Uint8Array(length).fill(reads))
    },
  }
  const failing: RandomAccessReader = { size: MiB, read: () => Promise.reject(new Error('EIO')) }
  const of = async (reader: RandomAccessReader): Promise<EncodedImage> =>
    encodeOva(await contentOf({ name: 'm' }, { 'a.vmdk': reader }), { workers: 0 })
  await expect(bytesOf(await of(changing))).rejects.toMatchObject({ code: 'DISK_CHANGED' })
  await expect(bytesOf(await of(failing))).rejects.toThrow('EIO')
  const places: number[] = []
  const target = {
    write: (_: Uint8Array, offset: number) => Promise.resolve(void places.push(offset)),
    zero: () => Promise.resolve(),
  }
  await expect((await of(failing)).writeTo(target)).rejects.toThrow('EIO')
  expect(places).not.toContain(0)
  const reason = new Error('enough')
  await expect((await of(changing)).writeTo(target, { signal: AbortSignal.abort(reason) })).rejects.toBe(
    reason,
  )
})

const wrong: readonly (readonly [machine: object, names: readonly string[]])[] = [
  [{ controller: 'usb' }, ['a.vmdk']],
  [{ firmware: 'uefi' }, ['a.vmdk']],
  [{ name: '' }, ['a.vmdk']],
  [{ name: 'a\u0001b' }, ['a.vmdk']],
  [{ operatingSystem: 'a"b' }, ['a.vmdk']],
  [{ memoryMiB: 0 }, ['a.vmdk']],
  [{ processors: 1.5 }, ['a.vmdk']],
  [{}, []],
  [{}, ['../a.vmdk']],
  [{}, ['a.img']],
  [{}, ['a.vmdk', 'A.vmdk']],
  [{ controller: 'ide' }, ['a.vmdk', 'b.vmdk', 'c.vmdk', 'd.vmdk', 'e.vmdk']],
]

test.each(wrong)('no OVA is made of %j with %j', async (machine, names) => {
  const readers = Object.fromEntries(names.map((name) => [name, readerOf(new Uint8Array(512))]))
  const content = await contentOf({ name: 'm', ...machine }, readers)
  await expect(encodeOva(content)).rejects.toThrow(InvalidError)
})

test('a machine is what the image says of it, as far as that means anything', () => {
  const machine = machineOfProperties('m', {
    vmware_adaptertype: 'paraVirtual',
    vmware_ostype: 'debian12_64Guest',
    vmware_hw_version: 'vmx-19',
    hw_firmware_type: 'uefi',
  })
  expect(machine).toEqual({
    name: 'm',
    controller: 'pvscsi',
    firmware: 'efi',
    operatingSystem: 'debian12_64Guest',
    hardwareVersion: 19,
  })
  expect(
    machineOfProperties('m', { hw_disk_bus: 'sata', vmware_ostype: '<&>', hw_firmware_type: 7 }),
  ).toEqual({
    name: 'm',
    controller: 'sata',
  })
})
