import { deflateRawSync } from 'node:zlib'
import * as fc from 'fast-check'
import { buildImage, compressedEntry } from './build-image.ts'

const kinds = ['plain', 'plain', 'plain', 'plain', 'compressed', 'kept', 'zero', 'unallocated'] as const

interface Layout {
  readonly clusterBits: number
  /** Numbers of host clusters: of tables first, then of guest clusters. */
  readonly places: readonly number[]
  readonly tableCount: number
  readonly kinds: readonly (typeof kinds)[number][]
  /** Whether guest clusters lie in their order, as qemu-img writes them. */
  readonly ordered: boolean
  readonly cutSectors: number
}

const countOf: Partial<Record<number, number>> = { 9: 72, 12: 36 }

/** Clusters of which some come with the header, and some behind it. */
function placesFor(clusterBits: number): number[] {
  const head = 65_536 >> clusterBits
  const first = Math.max(5, head - 10)
  return Array.from({ length: countOf[clusterBits] ?? 8 }, (_, index) => first + index)
}

const layouts: fc.Arbitrary<Layout> = fc.constantFrom(9, 9, 9, 9, 9, 9, 12, 12, 16).chain((clusterBits) => {
  const places = placesFor(clusterBits)
  return fc.record({
    clusterBits: fc.constant(clusterBits),
    places: fc.shuffledSubarray(places, { minLength: 4 }),
    tableCount: fc.integer({ min: 1, max: 3 }),
    kinds: fc.array(fc.constantFrom(...kinds), { minLength: places.length, maxLength: places.length }),
    ordered: fc.boolean(),
    cutSectors: fc.nat(7),
  })
})

function build({ clusterBits, places, tableCount, kinds: kindOf, ordered, cutSectors }: Layout): Uint8Array {
  const clusterSize = 2 ** clusterBits
  const count = Math.max(...places) + 1 - 5
  const data = Array.from({ length: count }, () => new Uint8Array(clusterSize))
  const tables = places.slice(0, tableCount)
  const guests = places.slice(tableCount, tableCount + (tableCount * clusterSize) / 8)
  if (ordered) guests.sort((left, right) => left - right)
  const perTable = Math.ceil(guests.length / tableCount)
  for (const [index, place] of guests.entries()) {
    const table = data[(tables[Math.floor(index / perTable)] ?? 5) - 5]
    const entry = fill(data[place - 5], place, clusterBits, kindOf[index])
    if (table !== undefined) new DataView(table.buffer).setBigUint64((index % perTable) * 8, entry)
  }
  // The virtual size ends behind the last guest cluster, or amid it.
  const last = (tableCount - 1) * (clusterSize / 8) + (guests.length - (tableCount - 1) * perTable)
  const cut = (cutSectors % (clusterSize / 512)) * 512
  const enough = Math.max(last, (tableCount - 1) * (clusterSize / 8) + 1)
  return buildImage({
    clusterBits,
    virtualSizeBytes: enough * clusterSize - cut,
    l1: tables.map((place) => BigInt(place * clusterSize)),
    data,
  })
}

/** Fills a host cluster. @returns the L2 entry for it */
function fill(
  bytes: Uint8Array | undefined,
  place: number,
  clusterBits: number,
  kind: Layout['kinds'][number] | undefined,
): bigint {
  const offset = place * 2 ** clusterBits
  bytes?.set(bytes.map((_, index) => 1 + ((index + place * 7) % 251)))
  if (kind === 'plain') return BigInt(offset)
  if (kind === 'kept') return BigInt(offset) | 1n
  if (kind === 'zero') return 1n
  if (kind !== 'compressed' || bytes === undefined) return 0n
  const stream = deflateRawSync(new Uint8Array(bytes.byteLength).fill(place & 255))
  bytes.set(stream, 5)
  return compressedEntry(offset + 5, stream.byteLength, clusterBits)
}

/** Something done to a good image; numbers of entries are taken modulo. */
type Damage =
  | { readonly kind: 'copy'; readonly from: number; readonly to: number }
  | { readonly kind: 'move'; readonly to: number; readonly by: number }
  | { readonly kind: 'flip'; readonly to: number; readonly bit: number }
  | { readonly kind: 'cut'; readonly to: number }

const damages: fc.Arbitrary<Damage[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('copy' as const), from: fc.nat(), to: fc.nat() }),
    fc.record({ kind: fc.constant('move' as const), to: fc.nat(), by: fc.integer({ min: -3, max: 3 }) }),
    fc.record({ kind: fc.constant('flip' as const), to: fc.nat(), bit: fc.nat(63) }),
    fc.record({ kind: fc.constant('cut' as const), to: fc.nat() }),
  ),
  { maxLength: 2 },
)

/** Places of entries that say something: of the header, of L1, of refcounts, of each L2 table. */
function entriesOf(image: Uint8Array): number[] {
  const view = new DataView(image.buffer)
  const clusterSize = 2 ** view.getUint32(20)
  const l1 = Array.from({ length: view.getUint32(36) }, (_, index) => 3 * clusterSize + index * 8)
  const tables = l1.map((place) => Number(view.getBigUint64(place)))
  const entries = tables.flatMap((table) => Array.from({ length: 40 }, (_, index) => table + index * 8))
  return [40, 48, 56, 64, clusterSize, ...l1, ...l1, ...entries]
}

function damage(image: Uint8Array, list: readonly Damage[]): Uint8Array {
  const places = entriesOf(image)
  const view = new DataView(image.buffer)
  const clusterSize = BigInt(2 ** view.getUint32(20))
  let { byteLength } = image
  for (const step of list) {
    const to = places[step.to % places.length] ?? 0
    const value = view.getBigUint64(to)
    if (step.kind === 'copy') view.setBigUint64(to, view.getBigUint64(places[step.from % places.length] ?? 0))
    else if (step.kind === 'move') view.setBigUint64(to, value + BigInt(step.by) * clusterSize)
    else if (step.kind === 'flip') view.setBigUint64(to, value ^ (1n << BigInt(step.bit)))
    else byteLength = step.to % (image.byteLength + 1)
  }
  return image.slice(0, byteLength)
}

/** Images with tables and clusters in any order around the place where a stream begins to be divided. */
export const arbitraryImage: fc.Arbitrary<Uint8Array> = fc
  .tuple(layouts, fc.oneof(fc.constant([]), damages))
  .map(([layout, list]) => damage(build(layout), list))

/** Lengths of chunks, used in turn. */
export const arbitraryPace: fc.Arbitrary<readonly number[]> = fc.array(
  fc.oneof(
    fc.integer({ min: 100, max: 1100 }),
    fc.integer({ min: 1, max: 9000 }),
    fc.integer({ min: 1, max: 150_000 }),
    fc.constantFrom(512, 4096, 65_536, 2 ** 30),
  ),
  { minLength: 1, maxLength: 12 },
)
