import { Fields, layoutHeadBytes } from '../layouts/fields.ts'
import { hex, printable } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'

const backingFormat = 0xe2792aca
const dataFileName = 0x44415441
const bitmaps = 0x23852875
const luksHeader = 0x0537be77

/** What the header extensions say. Texts are printable, and may be cut. */
export interface Qcow2Extensions {
  /** Whether their end was seen. */
  readonly extensionsEnd: boolean
  readonly backingFileFormat?: string | undefined
  /** Name of the external data file. */
  readonly dataFile?: string | undefined
  /** Where an image that is encrypted with LUKS keeps its LUKS header. */
  readonly luks?: { readonly offset: bigint; readonly length: bigint } | undefined
  /** Bitmaps that are up to date, as many as there are said to be. */
  readonly bitmapCount?: number | undefined
  /** Where they are listed, where that can be looked at. */
  readonly bitmaps?: BitmapDirectory | undefined
}

/** What of the header its extensions are read by. */
interface HeaderFields {
  readonly clusterSize: number
  readonly headerLength: number
  readonly backingOffset: bigint
  readonly cryptMethod: number
  readonly exactSizeBytes: bigint
  readonly autoclear: bigint
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Goes over the header extensions, which fill the rest of the first cluster up to the backing file's name. */
export function readExtensions(head: Fields, header: HeaderFields, problems: Problems): Qcow2Extensions {
  const found: Mutable<Qcow2Extensions> = { extensionsEnd: false }
  const limit = Math.min(header.clusterSize, head.length)
  const end =
    header.backingOffset > 0n && header.backingOffset < BigInt(limit) ? Number(header.backingOffset) : limit
  let at = header.headerLength
  let isOver = at >= end
  while (at + 8 <= end) {
    const type = head.u32be(at)
    const length = head.u32be(at + 4)
    if (length > end - at - 8) {
      problems.add('header', {
        reason: 'A header extension reaches beyond its place',
        offset: at,
        found: `type ${hex(type)}, ${length} bytes`,
        accepted: `at most ${end - at - 8} bytes`,
      })
      break
    }
    isOver = type === 0
    if (isOver) break
    readExtension(found, type, head.part(at + 8, length), at, header, problems)
    at += 8 + Math.ceil(length / 8) * 8
    isOver = at >= end
  }
  // A file that ends here is read as if zeros followed, which end the extensions.
  const isWhole = head.length >= header.clusterSize || head.length === layoutHeadBytes
  if (!isOver && isWhole) {
    problems.add('header', {
      reason: 'The header extensions do not end where they must',
      offset: at,
      found: `${end - at} bytes left`,
      accepted: 'an end mark, or extensions that fill their place',
    })
  }
  checkLuks(header, found, problems)
  if (header.cryptMethod !== 2) found.luks = undefined
  found.extensionsEnd = isOver
  return found
}

function readExtension(
  found: Mutable<Qcow2Extensions>,
  type: number,
  data: Fields,
  at: number,
  header: HeaderFields,
  problems: Problems,
): void {
  if (type === backingFormat) found.backingFileFormat = printable(data.text(0, data.length))
  else if (type === dataFileName) {
    found.dataFile = printable(data.text(0, Math.min(data.length, 1024)))
    problems.add('data-file', {
      reason: 'The image names an external data file, which can be any file of the host',
      offset: at,
      found: found.dataFile,
      accepted: 'an image that holds its own data',
      reference: 'CVE-2024-32498',
    })
  } else if (type === bitmaps) {
    // Without its autoclear bit the extension is stale and every program ignores it.
    if ((header.autoclear & 1n) === 0n) return
    found.bitmapCount = data.u32be(0)
    found.bitmaps = readBitmapExtension(data, at, header, problems)
  } else if (type === luksHeader) {
    found.luks = Object.freeze({ offset: data.u64be(0), length: data.u64be(8) })
    if (data.length !== 16) {
      problems.add('encryption', {
        reason: 'The place of the LUKS header has no possible length',
        offset: at + 4,
        found: `${data.length} bytes`,
        accepted: '16 bytes',
      })
    }
  }
}

function checkLuks({ cryptMethod }: HeaderFields, { luks }: Qcow2Extensions, problems: Problems): void {
  if (cryptMethod === 2 && luks === undefined) {
    problems.add('encryption', {
      reason: 'The image says that it is encrypted with LUKS, but has no LUKS header',
      offset: 32,
      found: 'no extension 0x537be77',
      accepted: 'a full disk encryption header',
    })
  }
  if (cryptMethod !== 2 && luks !== undefined) {
    problems.add('encryption', {
      reason: 'The image has a LUKS header and says that it is not encrypted with LUKS',
      offset: 32,
      found: `method ${cryptMethod}`,
      accepted: '2 (luks)',
    })
  }
}

/**
 * Bitmaps that are taken. A reader makes every one of them in memory and compares each name with all others;
 * backup programs keep a handful.
 */
const mostBitmaps = 1024
/** Bytes that all bitmaps may take in a reader's memory: 64 of a disk of 1 TiB, a bit for 64 KiB. */
const mostBytes = 128n * 1024n ** 2n
/** Bytes of a directory that are looked at. */
const mostDirectoryBytes = 256 * 1024
const entryBytes = 24
const dirtyBitmap = 1
/** No file has bytes behind it. */
const farthestPlace = (1n << 52n) - 1n

/** Where the list of bitmaps is. */
export interface BitmapDirectory {
  readonly count: number
  readonly offset: number
  /** At most 256 KiB. */
  readonly bytes: number
}

/**
 * Reads the extension that says where the bitmaps are.
 *
 * @returns undefined where there are none, or none that can be looked at
 */
function readBitmapExtension(
  data: Fields,
  at: number,
  { clusterSize }: HeaderFields,
  problems: Problems,
): BitmapDirectory | undefined {
  const count = data.u32be(0)
  const place = data.u64be(16)
  const bytes = data.u64be(8)
  const possible = place > 0n && place <= farthestPlace && place % BigInt(clusterSize || 1) === 0n
  const fits = bytes >= BigInt(count * entryBytes) && bytes <= BigInt(mostDirectoryBytes)
  const isWhole = data.length === 24 && data.u32be(4) === 0
  if (!isWhole || count === 0 || count > mostBitmaps || !possible || !fits) {
    problems.add('tables', {
      reason: 'The bitmap directory is not one that readers take',
      offset: at,
      found: `${count} bitmaps, ${bytes} bytes at ${hex(place)}`,
      accepted: `1 to ${mostBitmaps} bitmaps, at most ${mostDirectoryBytes} bytes at a multiple of the cluster size`,
      reference: 'CVE-2015-5162',
    })
    return undefined
  }
  return Object.freeze({ count, offset: Number(place), bytes: Number(bytes) })
}

/**
 * Goes over the list of bitmaps. A reader makes each of them as large as the disk needs it, also where all of them
 * share one table, so what counts is their number times the disk's size.
 *
 * @param directory the list, or what the file has of it; undefined where it has gone by
 * @see https://www.qemu.org/docs/master/interop/qcow2.html, "Bitmaps extension"
 */
export function checkBitmaps(
  directory: Uint8Array | undefined,
  { count, offset, bytes }: BitmapDirectory,
  header: Pick<HeaderFields, 'clusterSize' | 'exactSizeBytes'>,
  problems: Problems,
): void {
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    problems.add('tables', { reason, offset: at, found, accepted, reference: 'CVE-2015-5162' })
  if (directory === undefined) {
    wrong('The bitmap directory lies over other tables', offset, hex(offset), 'a place of its own')
    return
  }
  const cluster = BigInt(header.clusterSize)
  let total = 0n
  let end = 0
  for (let index = 0; index < count; index += 1) {
    const at = end
    const entry = readBitmapEntry(directory, at)
    if (directory.length < bytes || at + entry.length > directory.length) {
      problems.add('truncated', {
        reason: 'The bitmap directory ends before its last bitmap',
        offset: offset + at,
        found: `${directory.length} bytes`,
        accepted: `${count} bitmaps`,
      })
      return
    }
    const { type, granularity, tableEntries } = entry
    if (type !== dirtyBitmap || granularity < 9 || granularity > 31) {
      const found = `type ${type}, ${granularity} bits`
      wrong('A bitmap is of no known kind', offset + at + 16, found, 'type 1, 9 to 31 bits')
      return
    }
    const size = bitmapBytes(header.exactSizeBytes, granularity)
    const clusters = (size + cluster - 1n) / cluster
    if (BigInt(tableEntries) > clusters) {
      const found = `${tableEntries} entries`
      wrong('The table of a bitmap is larger than its disk', offset + at + 8, found, `at most ${clusters}`)
      return
    }
    total += size
    end = at + Math.ceil(entry.length / 8) * 8
  }
  if (total > mostBytes) {
    const found = `${count} bitmaps, ${total} bytes`
    wrong('The bitmaps take more memory than a reader may need', offset, found, `at most ${mostBytes} bytes`)
  }
}

/** What an entry of the directory says. */
interface BitmapEntry {
  readonly tableOffset: bigint
  readonly tableEntries: number
  readonly flags: number
  readonly type: number
  readonly granularity: number
  readonly nameBytes: number
  readonly extraBytes: number
  /** Bytes of the whole entry; the next one begins at the next multiple of 8. */
  readonly length: number
}

export function readBitmapEntry(directory: Uint8Array, at: number): BitmapEntry {
  const entry = new Fields(directory).part(at, entryBytes)
  const nameBytes = entry.u16be(18)
  const extraBytes = entry.u32be(20)
  return {
    tableOffset: entry.u64be(0),
    tableEntries: entry.u32be(8),
    flags: entry.u32be(12),
    type: entry.u8(16),
    granularity: entry.u8(17),
    nameBytes,
    extraBytes,
    length: entryBytes + nameBytes + extraBytes,
  }
}

/** One bit for each part of the disk. */
export function bitmapBytes(diskBytes: bigint, granularity: number): bigint {
  const part = 1n << BigInt(granularity)
  return ((diskBytes + part - 1n) / part + 7n) / 8n
}
