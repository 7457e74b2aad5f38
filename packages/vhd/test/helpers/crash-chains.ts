import { pattern, type DiskPlan } from './build-vhd.ts'

const writes = (name: string, ...list: (readonly [sector: number, count: number])[]): DiskPlan['writes'] =>
  list.map(([sector, count]) => ({ sector, data: pattern(`${name}${sector}`, count) }))

const KiB = 1024

/** Chains, leaf first, in which every stage of a merge has something to do. */
export const crashChains: Readonly<Record<string, readonly DiskPlan[]>> = {
  'blocks that exist and new ones': [
    {
      type: 'differencing',
      sizeBytes: 1024 * KiB,
      blockBytes: 65_536,
      writes: writes('leaf', [3, 10], [140, 128], [900, 1], [1500, 300]),
    },
    {
      type: 'differencing',
      sizeBytes: 1024 * KiB,
      blockBytes: 16_384,
      writes: writes('middle', [0, 200], [640, 33], [1700, 20]),
    },
    {
      type: 'dynamic',
      sizeBytes: 1024 * KiB,
      blockBytes: 65_536,
      markFull: true,
      writes: writes('base', [0, 128], [600, 90], [1999, 2]),
    },
  ],
  'a base that grows, with a table that moves': [
    {
      type: 'differencing',
      sizeBytes: 2000 * KiB,
      blockBytes: 65_536,
      writes: writes('leaf', [1, 1], [3700, 128], [2000, 5]),
    },
    {
      type: 'differencing',
      sizeBytes: 700 * KiB + 512,
      blockBytes: 65_536,
      writes: writes('middle', [100, 300]),
    },
    { type: 'dynamic', sizeBytes: 500 * KiB + 512, blockBytes: 65_536, writes: writes('base', [0, 900]) },
  ],
  'a base that is longer than the middle': [
    {
      type: 'differencing',
      sizeBytes: 800 * KiB,
      blockBytes: 65_536,
      writes: writes('leaf', [10, 10], [1000, 10]),
    },
    { type: 'differencing', sizeBytes: 300 * KiB, blockBytes: 65_536, writes: writes('middle', [10, 100]) },
    {
      type: 'dynamic',
      sizeBytes: 800 * KiB,
      blockBytes: 65_536,
      spareEntries: 100,
      writes: writes('base', [500, 900]),
    },
  ],
  'a fixed base that grows': [
    {
      type: 'differencing',
      sizeBytes: 900 * KiB,
      blockBytes: 65_536,
      writes: writes('leaf', [10, 10], [1700, 10]),
    },
    { type: 'fixed', sizeBytes: 400 * KiB, writes: writes('base', [0, 800]) },
  ],
  'a base without batmap': [
    {
      type: 'differencing',
      sizeBytes: 512 * KiB,
      blockBytes: 65_536,
      writes: writes('leaf', [10, 10], [700, 200]),
    },
    {
      type: 'dynamic',
      creator: 'win ',
      sizeBytes: 512 * KiB,
      blockBytes: 65_536,
      writes: writes('base', [0, 300]),
    },
  ],
}
