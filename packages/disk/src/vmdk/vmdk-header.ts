import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'

const sector = 512
const mostDirectoryBytes = 512 * 1024 ** 2
const copyFlag = 2
const zeroFlag = 4
const compressedFlag = 0x10000
const markerFlag = 0x20000
const footerMarker = 3
const atEnd = 0xffffffffffffffffn
const otherKinds: Readonly<Record<string, string>> = {
  COWD: 'a sparse extent of ESX (COWD)',
  '# Di': 'a descriptor alone',
  '\xbe\xba\xfe\xca': 'a space-efficient extent of ESX (SESparse)',
}

/** The header of a hosted sparse extent, within its bounds; bytes. */
export interface VmdkHeader {
  readonly sizeBytes: number
  readonly grainBytes: number
  readonly tableEntries: number
  readonly descriptorOffset: number
  readonly descriptorSectors: number
  readonly directoryOffset: number
  readonly directoryEntries: number
  /** Whether an entry 1 marks a grain as zero. */
  readonly marksZero: boolean
  readonly compressed: boolean
}

/**
 * Reads the header, or the footer where the header points there.
 *
 * @throws {DiskFormatError} where it is none that this reader takes
 * @see VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents"
 */
export async function readVmdkHeader(file: ImageFile): Promise<VmdkHeader> {
  const head = await file.read(0, sector, 'the header')
  const magic = Buffer.from(head.buffer, head.byteOffset, 4).toString('latin1')
  if (magic !== 'KDMV') {
    refuse('vmdk-kind', 'this is no hosted sparse extent', {
      found: otherKinds[magic] ?? 'another signature',
      offset: 0,
      accepted: 'KDMV: monolithicSparse or streamOptimized',
    })
  }
  const footer = head.getBigUint64(56, true) === atEnd ? await readFooter(file, head) : undefined
  const view = footer ?? head
  const header = parse(view)
  const { directoryOffset, directoryEntries } = header
  const limit = footer === undefined ? file.sizeBytes : file.sizeBytes - 3 * sector
  const hasCopy = (view.getUint32(8, true) & copyFlag) !== 0
  for (const place of [directoryOffset, ...(hasCopy ? [Number(view.getBigUint64(48, true)) * sector] : [])]) {
    if (place > 0 && place + directoryEntries * 4 <= limit) continue
    refuse('vmdk-directory', 'the grain directory does not lie in the file', {
      found: `${directoryEntries} entries at byte ${place}`,
      offset: 56,
      accepted: `a place below ${limit}`,
    })
  }
  const overhead = Number(view.getBigUint64(64, true)) * sector
  if (overhead > file.sizeBytes) {
    refuse('vmdk-truncated', 'the file ends within its header and tables', {
      found: `${file.sizeBytes} bytes`,
      offset: 64,
      accepted: `at least ${overhead}`,
    })
  }
  return header
}

function parse(view: DataView): VmdkHeader {
  const number = (at: number): number => Number(view.getBigUint64(at, true))
  const wrong = (offset: number, reason: string, found: string | number, accepted: string): never =>
    refuse('vmdk-header', reason, { offset, found: String(found), accepted })
  const version = view.getUint32(4, true)
  if (version < 1 || version > 3) wrong(4, 'the version is not known', version, '1, 2 or 3')
  const capacity = number(12)
  if (capacity < 1 || capacity > Number.MAX_SAFE_INTEGER / sector) {
    wrong(12, 'the capacity is none that a disk can have', `${capacity} sectors`, 'from 1 to 2^44')
  }
  const grain = number(20)
  if (!(grain >= 1 && grain <= 2048) || !Number.isInteger(Math.log2(grain))) {
    wrong(20, 'the grain size is outside the format', `${grain} sectors`, 'a power of two up to 2048')
  }
  const tableEntries = view.getUint32(44, true)
  if (tableEntries < 1 || tableEntries > 512) {
    wrong(44, 'a grain table is outside the format', `${tableEntries} entries`, '1 to 512')
  }
  const directoryEntries = Math.ceil(capacity / (grain * tableEntries))
  if (directoryEntries * 4 > mostDirectoryBytes) {
    wrong(
      12,
      'the grain directory is larger than any reader takes',
      `${directoryEntries} entries`,
      'at most 2^27',
    )
  }
  const flags = view.getUint32(8, true)
  const compression = view.getUint16(77, true)
  const compressed = (flags & compressedFlag) !== 0
  if (compression !== (compressed ? 1 : 0) || ((flags & markerFlag) === 0 && compressed)) {
    wrong(
      77,
      "flags and compression don't fit together",
      `flags ${flags}, compression ${compression}`,
      'none; or deflate, with markers',
    )
  }
  return {
    sizeBytes: capacity * sector,
    grainBytes: grain * sector,
    tableEntries,
    descriptorOffset: number(28) * sector,
    descriptorSectors: number(36),
    directoryOffset: number(56) * sector,
    directoryEntries,
    marksZero: (flags & zeroFlag) !== 0,
    compressed,
  }
}

/** Header and footer must say the same but for the place of the directory. */
async function readFooter(file: ImageFile, head: DataView): Promise<DataView> {
  const from = Math.max(0, file.sizeBytes - 3 * sector)
  const end = await file.read(from, 3 * sector, 'the footer')
  const footer = new DataView(end.buffer, end.byteOffset + sector, sector)
  const differs = (start: number, stop: number): boolean => {
    for (let at = start; at < stop; at += 1) if (footer.getUint8(at) !== head.getUint8(at)) return true
    return false
  }
  const whole =
    end.getUint32(8, true) === 0 &&
    end.getUint32(12, true) === footerMarker &&
    end.getBigUint64(2 * sector, true) === 0n &&
    end.getBigUint64(2 * sector + 8, true) === 0n
  if (!whole || differs(0, 48) || differs(77, 79) || footer.getBigUint64(56, true) === atEnd) {
    refuse('vmdk-footer', 'the footer is missing, or contradicts the header', {
      offset: from,
      accepted: 'a marker, a copy of the header that knows its directory, and the end marker',
    })
  }
  return footer
}
