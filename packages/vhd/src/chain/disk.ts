import { VhdError } from '../errors/vhd-error.ts'
import { sectorBytes, unallocated } from '../format/constants.ts'
import type { VhdType } from '../format/footer.ts'
import { openSource, type ByteSource, type VhdSource } from '../io/byte-source.ts'
import { examine } from '../inspect/examine.ts'
import { disagreements } from '../inspect/footers.ts'
import type { Layout } from '../inspect/layout.ts'
import { createBitmapCache, cutRuns } from './bitmap.ts'

/** A raw file that ends a chain. It is never guessed: who means raw says so. */
export interface RawSource {
  readonly source: VhdSource
  readonly format: 'raw'
}

/** One element of a chain. */
export type ChainSource = VhdSource | RawSource

/** Receives the runs of a range: with a file offset where this disk has the data, without where it has none. */
export type RunVisitor = (start: number, end: number, fileOffset: number | undefined) => void

/** Cuts a range into runs, in order and without gaps. */
export type RunCutter = (start: number, end: number, visitor: RunVisitor) => void

/** One disk of a chain, open and judged. */
export interface Disk {
  readonly source: ByteSource
  readonly type: VhdType | 'raw'
  readonly sizeBytes: number
  /** Absent where the disk is raw. */
  readonly layout: Layout | undefined
  /** Reads the sector bitmaps of a range; the answer cuts any part of it that is inside the disk into runs. */
  load(start: number, end: number): Promise<RunCutter>
  /** Whether a block of the range is allocated, by the table alone. */
  mayHaveData(start: number, end: number): boolean
  close(): Promise<void>
}

/**
 * Opens one disk and judges it.
 *
 * @throws {VhdError} with the first violation that is fatal
 */
export async function openDisk(element: ChainSource, trustEndFooter = false): Promise<Disk> {
  const raw = typeof element === 'object' && 'format' in element
  const source = await openSource(raw ? element.source : element)
  try {
    return raw ? rawDisk(source) : diskOf(source, await readLayout(source, trustEndFooter))
  } catch (error) {
    await source.close()
    throw error
  }
}

/**
 * The metadata of a file that can be read for certain.
 *
 * @param trustEndFooter whether the footer at the end counts where its copy says something else: only for who
 *   writes both anew
 * @throws {VhdError} with the first violation that is fatal
 */
export async function readLayout(source: ByteSource, trustEndFooter = false): Promise<Layout> {
  const layout = await examine(source)
  const fatal = layout.issues.find(
    ({ severity, rule }) => severity === 'fatal' && !(trustEndFooter && disagreements.has(rule)),
  )
  if (fatal !== undefined) throw new VhdError({ ...fatal, path: source.path })
  if (!('fileBytes' in layout))
    throw new VhdError({ path: source.path, rule: 'unreadable', reason: 'no metadata' })
  return layout
}

const flat: RunCutter = (start, end, visitor) => visitor(start, end, start)

function rawDisk(source: ByteSource): Disk {
  return {
    source,
    type: 'raw',
    sizeBytes: source.size,
    layout: undefined,
    load: () => Promise.resolve(flat),
    mayHaveData: () => true,
    close: () => source.close(),
  }
}

/** A disk over an open source whose metadata was read. */
export function diskOf(source: ByteSource, layout: Layout): Disk {
  const { footer } = layout.found
  const { dynamic } = layout
  const common = { source, type: footer.type, sizeBytes: footer.currentSizeBytes, layout }
  const close = (): Promise<void> => source.close()
  if (dynamic === undefined) {
    return {
      ...common,
      load: () => Promise.resolve(flat),
      mayHaveData: () => true,
      close,
    }
  }
  const { table, bitmapBytes } = dynamic
  const blockBytes = dynamic.header.blockSizeBytes
  const bitmapOf = createBitmapCache(source, dynamic)
  return {
    ...common,
    async load(start, end) {
      const loaded = new Map<number, Uint8Array>()
      const last = Math.floor((Math.min(end, common.sizeBytes) - 1) / blockBytes)
      for (let block = Math.floor(start / blockBytes); block <= last; block += 1) {
        if (table[block] !== unallocated) loaded.set(block, await bitmapOf(block))
      }
      return (from, to, visitor) => {
        for (let at = from; at < to;) {
          const block = Math.floor(at / blockBytes)
          const stop = Math.min(to, (block + 1) * blockBytes)
          const bitmap = loaded.get(block)
          const dataOffset = (table[block] as number) * sectorBytes + bitmapBytes
          if (bitmap === undefined) visitor(at, stop, undefined)
          else cutRuns(bitmap, at, stop, block * blockBytes, dataOffset, visitor)
          at = stop
        }
      }
    },
    mayHaveData(start, end) {
      const last = Math.floor((Math.min(end, common.sizeBytes) - 1) / blockBytes)
      for (let block = Math.floor(start / blockBytes); block <= last; block += 1) {
        if (table[block] !== unallocated) return true
      }
      return false
    },
    close,
  }
}
