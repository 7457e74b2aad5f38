import type { Fields } from '../layouts/fields.ts'
import { layoutHeadBytes } from '../layouts/head.ts'
import { hex, printable } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import { type BitmapDirectory, readBitmapExtension } from './layout-bitmaps.ts'
import type { Qcow2Header } from './layout.ts'

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

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Goes over the header extensions, which fill the rest of the first cluster up to the backing file's name. */
export function readExtensions(head: Fields, header: Qcow2Header, problems: Problems): Qcow2Extensions {
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
  header: Qcow2Header,
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

function checkLuks({ cryptMethod }: Qcow2Header, { luks }: Qcow2Extensions, problems: Problems): void {
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
