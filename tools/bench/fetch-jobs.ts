import { execa, execaSync } from 'execa'
import { rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Arena } from './arena.ts'
import {
  cinderFetch,
  downloadAlone,
  floorConvert,
  floorRaw,
  oursFetch,
  oursUnsyncedFetch,
  thenSync,
} from './contestants.ts'
import {
  cinder,
  floor,
  oursUnsynced,
  syncedFloor,
  type Comparison,
  type Contestant,
  type Job,
  type Target,
} from './job.ts'
import { settle } from './settle.ts'

const GiB = 1024 ** 3

/**
 * The targets of one job: against the floor in time and CPU, against the original in time. The floor doesn't wait for
 * the disk; ours must reach the target where it waits, and where it does not either.
 */
function targets(floorAtMost: number, timesFasterThanCinder: number): Target[] {
  return [
    { against: floor, figure: 'wall', atMost: floorAtMost },
    { of: oursUnsynced, against: floor, figure: 'wall', atMost: floorAtMost },
    { against: cinder, figure: 'call', atMost: 1 / timesFasterThanCinder },
    { against: floor, figure: 'cpu', atMost: 1.3 },
  ]
}

/** Who waits against who waits, for who reads the figures. */
const comparisons: readonly Comparison[] = [
  { against: syncedFloor, figure: 'wall' },
  { against: syncedFloor, figure: 'cpu' },
]

/** Everybody who brings an image onto a destination. */
function contestantsOf(
  arena: Arena,
  image: string,
  destination: string,
  floorContestant: typeof floorRaw,
): readonly Contestant[] {
  const script = floorContestant(arena, image, destination)
  return [
    oursFetch(arena, image, destination),
    oursUnsyncedFetch(arena, image, destination),
    script,
    // For information only, so large images are not brought often.
    { ...thenSync(script, destination), mostRuns: arena.images.sizeGiB >= 3 ? 2 : undefined },
    cinderFetch(arena, image, destination),
  ]
}

/** Every byte of the volume is the disk's. */
async function compare(disk: string, volume: string): Promise<void> {
  await execa('cmp', [disk, volume])
}

/** An image into a file that is not there before. */
function fileJob(
  arena: Arena,
  name: string,
  image: string,
  floorContestant: typeof floorRaw,
  jobTargets: readonly Target[],
): Job {
  const destination = path.join(arena.folder, 'volume.raw')
  return {
    name,
    sizeGiB: arena.images.sizeGiB,
    targets: jobTargets,
    comparisons,
    contestants: [...contestantsOf(arena, image, destination, floorContestant), downloadAlone(arena, image)],
    before: async () => {
      await rm(destination, { force: true })
      await settle()
    },
    check: () => compare(arena.images.raw, destination),
    close: () => rm(destination, { force: true }),
  }
}

/** A device of the images' size that holds old data everywhere. */
async function loopDevice(
  arena: Arena,
): Promise<{ device: string; dirty(): Promise<void>; close(): Promise<void> }> {
  const backing = path.join(arena.folder, 'device.img')
  await writeFile(backing, '')
  await truncate(backing, arena.images.sizeGiB * GiB)
  const { stdout: device } = await execa('losetup', ['--find', '--show', backing])
  const detachAtExit = (): void => void execaSync('losetup', ['--detach', device], { reject: false })
  process.once('exit', detachAtExit)
  return {
    device,
    dirty: async () => {
      const bytes = arena.images.sizeGiB * GiB
      await execa('bash', [
        '-c',
        `head -c ${bytes} /dev/zero | tr '\\0' '\\245' | dd of=${device} bs=4M iflag=fullblock status=none`,
      ])
      await settle()
    },
    close: async () => {
      process.removeListener('exit', detachAtExit)
      await execa('losetup', ['--detach', device])
      await rm(backing, { force: true })
    },
  }
}

/** The raw image onto a block device full of old data. */
async function deviceJob(arena: Arena): Promise<Job> {
  const { raw, sizeGiB } = arena.images
  const loop = await loopDevice(arena)
  const { device } = loop
  return {
    name: 'raw-to-device',
    sizeGiB,
    targets: targets(0.9, 3),
    comparisons,
    contestants: contestantsOf(arena, raw, device, floorRaw),
    before: () => loop.dirty(),
    check: () => compare(raw, device),
    close: () => loop.close(),
  }
}

/** One job, made when its turn comes; or the reason why it can't be run here. */
export interface Offer {
  readonly name: string
  readonly impossible?: string | undefined
  /** What is slow by itself is measured on the smallest images only. */
  readonly firstSizeOnly?: boolean | undefined
  open(arena: Arena): Promise<Job>
}

/** Everything that brings an image into a volume. */
export const fetchOffers: readonly Offer[] = [
  {
    name: 'raw-to-file',
    open: async (arena) => fileJob(arena, 'raw-to-file', arena.images.raw, floorRaw, targets(0.75, 3.5)),
  },
  {
    name: 'raw-to-device',
    impossible: process.getuid?.() === 0 ? undefined : 'needs root, for a loop device',
    open: deviceJob,
  },
  {
    name: 'qcow2-to-file',
    open: async (arena) =>
      fileJob(arena, 'qcow2-to-file', arena.images.qcow2, floorConvert, targets(0.6, 2.5)),
  },
  {
    name: 'compressed-qcow2-to-file',
    open: async (arena) =>
      fileJob(
        arena,
        'compressed-qcow2-to-file',
        arena.images.compressedQcow2,
        floorConvert,
        targets(0.65, 1.6),
      ),
  },
  {
    name: 'glance-raw-to-file',
    firstSizeOnly: true,
    open: async (arena) =>
      fileJob(await arena.glance(), 'glance-raw-to-file', arena.images.raw, floorRaw, targets(0.75, 3.5)),
  },
  {
    name: 'glance-qcow2-to-file',
    firstSizeOnly: true,
    open: async (arena) =>
      fileJob(
        await arena.glance(),
        'glance-qcow2-to-file',
        arena.images.qcow2,
        floorConvert,
        targets(0.6, 2.5),
      ),
  },
]
