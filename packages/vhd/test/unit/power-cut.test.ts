import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { campaign, type DiskState, recordChanges, replayCuts } from '@disk-image/testing'
import {
  coalesceChain,
  createSnapshot,
  createVhd,
  examineVhd,
  flattenChain,
  openVhdChain,
  repairVhd,
  resizeVhd,
  setVhdParent,
} from '@disk-image/vhd'
import { expect, test } from 'vitest'
import { buildDisk, type DiskPlan, pattern, writeDisk } from '../helpers/build-vhd.ts'
import { crashChains } from '../helpers/crash-chains.ts'
import { chainView, writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const { seed, runs: states } = campaign(10, 120)
const MiB = 1024 ** 2

/** What reads a file refuses until another run has completed it. */
const completable = new Set([
  'footers-differ',
  'footer-copy',
  'footer-end',
  'footer-damaged',
  'header-checksum',
])

interface Operation {
  /** Puts the files there. */
  readonly make: (folder: string) => void
  readonly run: (folder: string) => Promise<unknown>
  /** Files of the disk or chain, leaf first. */
  readonly files: readonly string[]
  /** What they may show, before or afterwards. */
  readonly views: readonly Buffer[]
  /** Whether it only makes new files, or gives one another's place at once. */
  readonly isWhole?: boolean
}

async function show(files: readonly string[], trustEndFooter = false): Promise<Buffer> {
  await using chain = await openVhdChain(files, { trustEndFooter })
  return Buffer.from(await chain.read(0, chain.size))
}

async function replay({ make, run, files, views, isWhole = false }: Operation): Promise<void> {
  const directory = temporaryDirectory()
  const folder = path.join(directory, 'recorded')
  mkdirSync(folder)
  make(folder)
  const recording = await recordChanges([folder], () => run(folder))
  const last = views.at(-1) as Buffer
  let number = 0
  const put = (state: DiskState): string => {
    const place = path.join(directory, String((number += 1)))
    mkdirSync(place)
    state.writeTo(folder, place)
    return place
  }
  const isRight = (found: Buffer): boolean => views.some((view) => view.equals(found))
  const { failures } = await replayCuts(
    {
      recording,
      judge: async (state, isDone) => {
        const place = put(state)
        const paths = files.map((name) => path.join(place, name))
        try {
          const [first = ''] = files
          if (isWhole && !state.files.includes(path.join(folder, first)))
            return isDone ? 'it is not there' : undefined
          let refused: unknown
          const found = await show(paths).catch((error: unknown) => {
            refused = error
            return undefined
          })
          if (found !== undefined && !isRight(found)) return 'it shows something else'
          if (refused !== undefined) {
            const { rule = 'by no rule' } = refused as { readonly rule?: string }
            if (isDone || isWhole || !completable.has(rule)) return `it is refused: ${rule}`
            if (rule !== 'header-checksum' && !isRight(await show(paths, true)))
              return 'it shows something else by its last footer'
          }
          if (isDone && !last.equals(found!)) return 'it shows what was there before'
          if (isWhole) return undefined
          await run(place)
          if (!last.equals(await show(paths))) return 'another run does not complete it'
          for (const file of paths.slice(-1)) {
            const { issues } = await examineVhd(file)
            const left = issues.filter(({ severity }) => severity !== 'warning').map(({ rule }) => rule)
            if (left.length > 0) return `another run leaves ${left.join()}`
          }
          return undefined
        } finally {
          rmSync(place, { recursive: true })
        }
      },
    },
    { seed, states },
  )
  expect(failures).toEqual([])
}

const dynamic: DiskPlan = {
  type: 'dynamic',
  sizeBytes: 2 * MiB,
  blockBytes: 65_536,
  markFull: true,
  writes: [
    { sector: 0, data: pattern('a', 128) },
    { sector: 1500, data: pattern('b', 300) },
  ],
}
const fixed: DiskPlan = { ...dynamic, type: 'fixed' }
const odd: DiskPlan = {
  ...dynamic,
  sizeBytes: MiB + 512,
  writes: [{ sector: 1900, data: pattern('c', 149) }],
}

function grown(plan: DiskPlan, sizeBytes: number): Buffer {
  return Buffer.concat([chainView([plan])], sizeBytes)
}

const chains = Object.entries(crashChains).map(([name, plans]): [string, Operation] => {
  const files = plans.map((_, index) => `${index}.vhd`)
  return [
    `coalesce: ${name}`,
    {
      make: (folder) => void writeChain(folder, plans),
      run: (folder) => coalesceChain(files.map((file) => path.join(folder, file))),
      files,
      views: [chainView(plans)],
    },
  ]
})

/** One disk that is changed where it is. */
function change(
  plan: DiskPlan,
  views: readonly Buffer[],
  run: (file: string) => Promise<unknown>,
  damage?: (file: string) => void,
): Operation {
  const disk = buildDisk(plan)
  return {
    make: (folder) => {
      writeDisk(path.join(folder, 'a.vhd'), disk)
      damage?.(path.join(folder, 'a.vhd'))
    },
    run: (folder) => run(path.join(folder, 'a.vhd')),
    files: ['a.vhd'],
    views,
  }
}

const view = chainView([dynamic])
const plans = crashChains['blocks that exist and new ones'] as readonly DiskPlan[]
const snapshotBase = buildDisk(dynamic)

const operations: [string, Operation][] = [
  ...chains,
  ['resize a dynamic disk', change(dynamic, [view, grown(dynamic, 6 * MiB)], (file) => resizeVhd(file, 6))],
  [
    'resize one with room in its table',
    change({ ...dynamic, spareEntries: 200 }, [view, grown(dynamic, 6 * MiB)], (file) => resizeVhd(file, 6)),
  ],
  [
    'resize one that ends within a block',
    change(odd, [chainView([odd]), grown(odd, 4 * MiB)], (file) => resizeVhd(file, 4)),
  ],
  ['resize a fixed disk', change(fixed, [view, grown(fixed, 4 * MiB)], (file) => resizeVhd(file, 4))],
  [
    'repair a lost footer',
    change(dynamic, [view], repairVhd, (file) => truncateSync(file, readFileSync(file).length - 512)),
  ],
  ['repair a batmap', change({ ...dynamic, clobberBatmap: true }, [view], repairVhd)],
]

test.each(operations)(
  '%s: whenever the power fails, it reads the same, or is completed by another run',
  { timeout: 600_000 },
  (_name, operation) => replay(operation),
)

test('half of a header that a power cut left is completed by the same run, and by no other', async () => {
  const folder = temporaryDirectory()
  const { paths, disks } = writeChain(folder, plans.slice(0, 1).concat(plans.slice(2)))
  const [leaf = '', base = ''] = paths
  const other = path.join(folder, 'other.vhd')
  writeDisk(other, disks[1]!)
  const before = readFileSync(leaf)
  await setVhdParent(leaf, other)
  const torn = readFileSync(leaf)
  before.copy(torn, 1024, 1024, 1536)
  writeFileSync(leaf, torn)
  await expect(show([leaf, other])).rejects.toMatchObject({ rule: 'header-checksum' })
  await expect(setVhdParent(leaf, base)).rejects.toMatchObject({ rule: 'header-checksum' })
  await setVhdParent(leaf, other)
  expect((await show([leaf, other])).equals(chainView([plans[0]!, plans[2]!]))).toBe(true)
})

test('a disk gets another parent', { timeout: 600_000 }, async () => {
  const files = ['0.vhd', 'elsewhere.vhd']
  const two = [plans[0] as DiskPlan, { ...(plans[2] as DiskPlan) }]
  await replay({
    make: (folder) => {
      const { paths, disks } = writeChain(folder, two)
      writeDisk(path.join(folder, 'elsewhere.vhd'), disks[1]!)
      void paths
    },
    run: (folder) => setVhdParent(path.join(folder, '0.vhd'), path.join(folder, 'elsewhere.vhd')),
    files,
    views: [chainView(two)],
  })
})

test.each<[string, Operation]>([
  [
    'flatten',
    {
      make: (folder) => void writeChain(folder, plans),
      run: (folder) =>
        flattenChain(
          plans.map((_, index) => path.join(folder, `${index}.vhd`)),
          path.join(folder, 'new'),
          { format: 'dynamic' },
        ),
      files: ['new'],
      views: [chainView(plans)],
      isWhole: true,
    },
  ],
  [
    'coalesce a copy',
    {
      make: (folder) => void writeChain(folder, plans),
      run: (folder) =>
        coalesceChain(
          plans.map((_, index) => path.join(folder, `${index}.vhd`)),
          { mode: 'copy' },
        ),
      files: plans.map((_, index) => `${index}.vhd`),
      views: [chainView(plans)],
      isWhole: true,
    },
  ],
  [
    'create',
    {
      make: () => undefined,
      run: (folder) => createVhd(path.join(folder, 'new'), { sizeBytes: 2 * MiB }),
      files: ['new'],
      views: [Buffer.alloc(2 * MiB)],
      isWhole: true,
    },
  ],
  [
    'create a snapshot',
    {
      make: (folder) => writeDisk(path.join(folder, 'base.vhd'), snapshotBase),
      run: (folder) => createSnapshot(path.join(folder, 'new'), path.join(folder, 'base.vhd')),
      files: ['new', 'base.vhd'],
      views: [view],
      isWhole: true,
    },
  ],
])(
  '%s: whenever the power fails, there is nothing new, or the whole',
  { timeout: 600_000 },
  (_name, operation) => replay(operation),
)
