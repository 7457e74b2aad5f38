/** What an entry of a tar archive is, as far as a disk in it goes. */
type TarEntryKind = 'file' | 'sparse' | 'pax' | 'global' | 'name' | 'skipped' | 'folder' | 'other'

/** A header of a tar archive. */
export interface TarHeader {
  readonly kind: TarEntryKind
  /** The letter that tells what it is. */
  readonly type: string
  /** With the folders before it. */
  readonly name: string
  /** Bytes behind the header. */
  readonly storedBytes: number
  /** What a link leads to. */
  readonly linkName: string
  /** Whether it is of POSIX's format, in which attributes come before it. */
  readonly isPosix: boolean
}

/** A range of a sparse file that is in the archive. */
export interface SparseExtent {
  readonly offset: number
  readonly length: number
}

const kinds: ReadonlyMap<string, TarEntryKind> = new Map([
  ['\0', 'file'],
  ['0', 'file'],
  ['7', 'file'],
  ['S', 'sparse'],
  ['x', 'pax'],
  ['g', 'global'],
  ['L', 'name'],
  ['K', 'skipped'],
  ['V', 'skipped'],
  ['5', 'folder'],
])

/** A header; undefined where the block is none. */
export function readTarHeader(block: Uint8Array): TarHeader | undefined {
  let sum = 0
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte
  const checksum = octal(latin1(block, 148, 8))
  if (checksum === undefined || checksum !== sum) return undefined
  const storedBytes = readTarNumber(block, 124)
  if (storedBytes === undefined) return undefined
  const type = String.fromCharCode(block[156] ?? 0)
  // In another format than GNU's the same letter is a file without holes, or nothing.
  const format = latin1(block, 257, 8)
  const kind = type !== 'S' || format === 'ustar  ' ? kinds.get(type) : undefined
  return {
    kind: kind ?? 'other',
    type,
    name: nameOf(block),
    storedBytes,
    linkName: text(block, 157, 100),
    isPosix: format === 'ustar',
  }
}

/** In POSIX's format a long name is in two parts; in GNU's there is something else in that place. */
function nameOf(block: Uint8Array): string {
  const name = text(block, 0, 100)
  const prefix = latin1(block, 257, 6) === 'ustar' ? text(block, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

/** A number of twelve bytes: octal text, or binary with the highest bit set. Undefined where it is none. */
export function readTarNumber(block: Uint8Array, at: number): number | undefined {
  const first = block[at] ?? 0
  if ((first & 0x80) === 0) {
    return octal(latin1(block, at, 12))
  }
  let value = first & 0x7f
  for (let index = 1; index < 12; index += 1) value = value * 256 + (block[at + index] ?? 0)
  return Number.isSafeInteger(value) ? value : undefined
}

/** Octal digits between blanks; none are 0. */
function octal(text: string): number | undefined {
  const digits = /^ *([0-7]*) *$/.exec(text)?.[1]
  return digits === undefined ? undefined : Number.parseInt(digits || '0', 8)
}

/** Extents of an old sparse header or of one of its continuations, up to the first that is not used. */
export function readSparseExtents(block: Uint8Array, at: number, count: number): SparseExtent[] | undefined {
  const extents: SparseExtent[] = []
  for (let index = 0; index < count; index += 1) {
    const place = at + 24 * index
    if (block[place] === 0 && block[place + 12] === 0) break
    const offset = readTarNumber(block, place)
    const length = readTarNumber(block, place + 12)
    if (offset === undefined || length === undefined) return undefined
    extents.push({ offset, length })
  }
  return extents
}

/** The keys of a pax header, the last of each. Undefined where a line is none: other readers leave out what follows. */
export function readPaxKeys(bytes: Uint8Array): ReadonlyMap<string, string> | undefined {
  const keys = new Map<string, string>()
  let at = 0
  while (at < bytes.length && bytes[at] !== 0) {
    const blank = bytes.indexOf(0x20, at)
    const digits = blank < 0 ? '' : latin1(bytes, at, Math.min(blank - at, 17))
    const end = at + (/^\d{1,16}$/.test(digits) ? Number(digits) : 0)
    // The line ends within the header, with a line end.
    if (end <= blank || end > bytes.length || bytes[end - 1] !== 0x0a) return undefined
    const line = text(bytes, blank + 1, end - 1 - blank - 1)
    const equals = line.indexOf('=')
    if (equals < 1) return undefined
    keys.set(line.slice(0, equals), line.slice(equals + 1))
    at = end
  }
  return keys
}

/** UTF-8 up to the first NUL. */
function text(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(latin1(bytes, at, length), 'latin1').toString()
}

/** Text up to the first NUL. */
function latin1(bytes: Uint8Array, at: number, length: number): string {
  const text = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + at,
    Math.max(0, Math.min(length, bytes.length - at)),
  )
  const nul = text.indexOf(0)
  return text.toString('latin1', 0, nul < 0 ? text.length : nul)
}

/**
 * A header of a plain file, in POSIX's format, without an owner and a date.
 *
 * A size of 8 GiB or more is in GNU's binary form, which every reader of today takes.
 *
 * @param name up to 100 bytes
 */
export function encodeTarHeader(name: string, sizeBytes: number): Uint8Array {
  const block = Buffer.alloc(512)
  const octal = (value: number, length: number): string => value.toString(8).padStart(length - 1, '0')
  block.write(name, 'utf8')
  block.write(octal(0o644, 8), 100)
  block.write(octal(0, 8), 108)
  block.write(octal(0, 8), 116)
  if (sizeBytes < 8 ** 11) block.write(octal(sizeBytes, 12), 124)
  else {
    block[124] = 0x80
    block.writeBigUInt64BE(BigInt(sizeBytes), 128)
  }
  block.write(octal(0, 12), 136)
  block.write('        0', 148)
  block.write('ustar\u000000', 257)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${octal(sum, 7)}\u0000 `, 148)
  return block
}
