import { execa } from 'execa'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { Fixture, Service, Store } from './fixture.ts'
import { ours, script, settle, type Job, type Target } from './run-job.ts'
import type { LinkOptions } from './slow-link.ts'
import {
  cinder,
  cinderCall,
  command,
  oursFetch,
  oursUnsynced,
  oursUpload,
  scriptFetch,
  scriptSynced,
  synced,
} from './subjects.ts'

const MiB = 1024 ** 2

/** One job, made when its turn comes. */
export interface Plan {
  readonly name: string
  /** Why it can't run here. */
  readonly impossible?: string | undefined
  /** What is slow by itself is measured on the smallest images only. */
  readonly firstSizeOnly?: boolean
  /** On images of its own, in GiB, whatever size was asked for. */
  readonly sizeGiB?: number
  /** Runs only where it is asked for by name. */
  readonly onDemand?: boolean
  open(fixture: Fixture): Promise<Omit<Job, 'name' | 'sizeGiB'>>
}

/** Against the script in time and CPU, against the original in time. The script doesn't wait for the disk. */
function targets(ofScript: number, timesFasterThanCinder: number): Target[] {
  return [
    { against: script, figure: 'wall', atMost: ofScript },
    { of: oursUnsynced, against: script, figure: 'wall', atMost: ofScript },
    { against: cinder, figure: 'call', atMost: 1 / timesFasterThanCinder },
    { against: script, figure: 'cpu', atMost: 1.3 },
    { against: scriptSynced, figure: 'wall' },
  ]
}

/** Everybody who brings an image onto a destination; compared byte by byte. */
function fetchJob(
  fixture: Fixture,
  service: Service,
  image: string,
  destination: string,
  limits: Target[],
  reset: () => Promise<unknown>,
): Omit<Job, 'name' | 'sizeGiB'> {
  const floor = scriptFetch(fixture, service, image, destination)
  const call = (): string[] => ['fetch_to_raw', service.url, service.idOf(image), destination]
  return {
    targets: limits,
    subjects: [
      oursFetch(service, image, destination),
      { ...oursFetch(service, image, destination, '--no-sync'), name: oursUnsynced },
      floor,
      { ...synced(floor, destination), mostRuns: fixture.images.sizeGiB >= 3 ? 2 : undefined },
      cinderCall(fixture, call),
    ],
    before: async () => {
      await reset()
      await settle()
    },
    check: async () => void (await execa('cmp', [fixture.images.raw, destination])),
  }
}

/** An image into a file that is not there before, from nginx or from a Glance. */
function intoFile(
  name: string,
  image: 'raw' | 'qcow2' | 'compressedQcow2',
  limits: Target[],
  real = false,
): Plan {
  return {
    name,
    firstSizeOnly: real,
    open: async (fixture) => {
      const destination = path.join(fixture.folder, 'volume.raw')
      const service = real ? await fixture.glance() : fixture.nginx
      const reset = (): Promise<void> => rm(destination, { force: true })
      return fetchJob(fixture, service, fixture.images[image], destination, limits, reset)
    },
  }
}

/** A raw volume into an image. */
function upload(
  name: string,
  verify: 'strict' | 'none',
  open: (fixture: Fixture) => Promise<Store>,
  real: boolean,
): Plan {
  return {
    name,
    firstSizeOnly: real,
    open: async (fixture) => {
      const store = await open(fixture)
      const volume = fixture.images.raw
      let id = ''
      const type = 'Content-Type: application/octet-stream'
      return {
        targets: [
          { against: script, figure: 'wall', atMost: 1.1 },
          { against: cinder, figure: 'call', atMost: 1 / 2 },
        ],
        subjects: [
          oursUpload(store, () => id, volume, verify),
          {
            name: script,
            command: () => ['curl', '-sSf', '-H', type, '-T', volume, `${store.url}/v2/images/${id}/file`],
          },
          cinderCall(fixture, () => ['upload', store.url, id, volume]),
        ],
        before: async () => {
          if (real && id !== '') await fetch(`${store.url}/v2/images/${id}`, { method: 'DELETE' })
          id = await store.createImage()
          await settle()
        },
        check: async () => void (await execa('cmp', [volume, store.storedAt(id)])),
      }
    },
  }
}

/** Eight images at once reach at least 0.9 of the best of fewer streams and of several processes. */
function many(format: 'raw' | 'qcow2' | 'compressedQcow2'): Plan {
  return {
    name: `many-${format}`,
    sizeGiB: 0.5,
    open: async (fixture) => {
      const { images, folder } = fixture
      // One image eight times would be downloaded once.
      const { url, ids } = await fixture.copies(images[format], 8)
      const volumes = ids.map((_, index) => path.join(folder, `volume-${index}.raw`))
      const list = path.join(folder, 'list')
      await writeFile(list, ids.map((id, index) => `${id} ${volumes[index]}\n`).join(''))
      const cores = String(availableParallelism())
      const words = [...command, 'fetch', '--glance', url, '--quiet', '--force']
      const atOnce = (jobs: string) => () => [...words, '--list', list, '--jobs', jobs]
      const others = ['one after the other', `${cores} at once`, `${cores} processes`]
      return {
        // Buffers to inflate into come on top.
        memoryMiB: format === 'compressedQcow2' ? 300 : 200,
        targets: others.map((against) => ({ against, figure: 'wall', atMost: 1 / 0.9 })),
        subjects: [
          { name: ours, command: atOnce('8') },
          { name: others[0] ?? '', command: atOnce('1') },
          { name: others[1] ?? '', command: atOnce(cores) },
          { name: others[2] ?? '', command: () => ['xargs', '-a', list, '-P', cores, '-n', '2', ...words] },
        ],
        before: async () => {
          for (const volume of volumes) await rm(volume, { force: true })
          await settle()
        },
        check: async () => {
          for (const volume of volumes) await execa('cmp', [images.raw, volume])
        },
      }
    },
  }
}

/** A raw image over a link, over one connection and over four, beside curl. */
function overLink(name: string, options: Omit<LinkOptions, 'port'>): Plan {
  return {
    name: `link-${name}`,
    sizeGiB: 0.25,
    onDemand: true,
    open: async (fixture) => {
      const { raw } = fixture.images
      const link = await fixture.link(options)
      const volume = path.join(fixture.folder, 'volume.raw')
      const url = `${link.url}/v2/images/${link.idOf(raw)}/file`
      return {
        targets: [{ against: 'curl', figure: 'wall' }],
        subjects: [
          oursFetch(link, raw, volume),
          { ...oursFetch(link, raw, volume, '--connections', '4'), name: 'ours, 4 connections' },
          {
            name: 'curl',
            absent: options.cutAfterBytes === undefined ? undefined : 'does not continue a broken connection',
            command: () => ['curl', '-sSf', '-o', volume, url],
          },
        ],
        before: async () => {
          await rm(volume, { force: true })
          await execa('sync')
        },
        check: async () => void (await execa('cmp', [raw, volume])),
      }
    },
  }
}

/** A qcow2 of 1 TiB that holds 64 MiB. */
const sparse: Plan = {
  name: 'sparse-qcow2-to-file',
  sizeGiB: 0.25,
  onDemand: true,
  open: async ({ images, folder }) => {
    const file = (name: string): string => path.join(folder, name)
    const [disk, image, volume] = [file('disk.raw'), file('disk.qcow2'), file('volume.raw')]
    await execa('cp', ['--sparse=always', images.raw, disk])
    await truncate(disk, 1024 ** 4)
    await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, image])
    const [program, ...words] = [...command, '--store', file('store')]
    const create = [
      'image',
      'create',
      '--name',
      'sparse',
      '--disk-format',
      'qcow2',
      '--file',
      image,
      '--quiet',
    ]
    const { stdout: id } = await execa(program, [...words, ...create])
    return {
      targets: [],
      subjects: [{ name: ours, command: () => [program, ...words, 'fetch', id.trim(), volume, '--force'] }],
      before: () => rm(volume, { force: true }),
      check: async () => void (await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', disk, volume])),
    }
  },
}

/** Everything that can be measured with the command. */
export const plans: readonly Plan[] = [
  intoFile('raw-to-file', 'raw', targets(0.75, 3.5)),
  {
    name: 'raw-to-device',
    impossible: process.getuid?.() === 0 ? undefined : 'needs root, for a loop device',
    open: async (fixture) => {
      const loop = await fixture.device()
      return fetchJob(fixture, fixture.nginx, fixture.images.raw, loop.device, targets(0.9, 3), () =>
        loop.dirty(),
      )
    },
  },
  intoFile('qcow2-to-file', 'qcow2', targets(0.6, 2.5)),
  intoFile('compressed-qcow2-to-file', 'compressedQcow2', targets(0.65, 1.6)),
  intoFile('glance-raw-to-file', 'raw', targets(0.75, 3.5), true),
  intoFile('glance-qcow2-to-file', 'qcow2', targets(0.6, 2.5), true),
  upload('upload-raw', 'none', (fixture) => fixture.receiver(), false),
  upload('glance-upload-raw', 'strict', (fixture) => fixture.glance(), true),
  many('raw'),
  many('qcow2'),
  many('compressedQcow2'),
  overLink('0ms', {}),
  overLink('5ms', { roundTripMs: 5 }),
  overLink('50ms', { roundTripMs: 50 }),
  overLink('50MBps', { bytesPerSecond: 50e6 }),
  overLink('200MBps', { bytesPerSecond: 200e6 }),
  overLink('cut-64MiB', { roundTripMs: 5, cutAfterBytes: 64 * MiB }),
  overLink('cut-8MiB', { cutAfterBytes: 8 * MiB }),
  sparse,
]
