import { stat } from 'node:fs/promises'
import path from 'node:path'
import { type DiskFormat, isSameFormat, printable, type WritableDiskFormat } from '@disk-image/core'
import type { DescribedSource } from '@disk-image/image-utils'
import type { InspectionResult } from '@disk-image/image-utils/inspector'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { holdOperand } from './file-source.ts'

type WrittenFormat = WritableDiskFormat | 'ova'

/** What the ending of a name says. */
const endings: ReadonlyMap<string, WrittenFormat> = new Map([
  ['.raw', 'raw'],
  ['.img', 'raw'],
  ['.qcow2', 'qcow2'],
  ['.vmdk', 'vmdk'],
  ['.vhd', 'vhd'],
  ['.vhdx', 'vhdx'],
  ['.vdi', 'vdi'],
  ['.ova', 'ova'],
  ['.luks', 'luks'],
  ['.hdd', 'parallels'],
  ['.qcow', 'qcow'],
  ['.qed', 'qed'],
])
const readOnlyEndings: ReadonlyMap<string, DiskFormat> = new Map([
  ['.dmg', 'dmg'],
  ['.iso', 'iso'],
])

function formatOfEnding(name: string): WrittenFormat | undefined {
  return endings.get(path.extname(name).toLowerCase())
}

/** What a destination becomes where nobody says it: a block device raw, a file what its name ends with. */
export async function formatOfDestination(session: Session, name: string): Promise<WrittenFormat> {
  if (name === '-') throw new UsageError('Say with --to FORMAT what goes to standard output.')
  const found = await stat(session.resolve(name)).catch(() => undefined)
  const format = found?.isBlockDevice() === true ? 'raw' : formatOfEnding(name)
  if (format !== undefined) return format
  throw new UsageError(
    `Say with --to FORMAT what ${printable(name)} shall be: it ends with none of ${[...endings.keys()].join(' ')}.`,
  )
}

/** What else than the bytes says what a source is. */
export interface Hints {
  /** As the user named it. */
  readonly name: string
  readonly isBlockDevice?: boolean | undefined
  /** A key for it was given. */
  readonly isUnlocked?: boolean | undefined
  /** The option `--allow-archives-as-raw`. */
  readonly allowsArchives?: boolean | undefined
}

/**
 * What a local file or block device is, where nobody says it, or a folder with the files of a VMDK. Undefined for what
 * is wrapped in an archive or compressed: that is opened, and what is inside is found there.
 *
 * @throws {UsageError} where it could be two things
 */
export async function findFileFormat(session: Session, hints: Hints): Promise<DiskFormat | undefined> {
  const { name } = hints
  const found = await stat(session.resolve(name)).catch(() => undefined)
  if (found?.isDirectory() === true) return 'vmdk'
  await using held = await holdOperand(session, name)
  const { inspectFile } = await import('@disk-image/image-utils/inspector')
  const inspection = await inspectFile(held.path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EACCES' && error.code !== 'EPERM') throw error
    throw new UsageError(`${printable(name)} can't be read here: say with --from FORMAT what it is.`)
  })
  return soleFormat(session, inspection, { ...hints, isBlockDevice: held.kind !== 'file' })
}

/** The same of what is open, as far as it can be looked at before it is read. */
export async function findSourceFormat(
  session: Session,
  { stored, diskFormat, containerFormat = 'bare' }: DescribedSource,
  hints: Hints,
): Promise<DiskFormat | undefined> {
  const { sizeBytes } = stored
  const read = stored.readRange?.bind(stored)
  const isOpen = diskFormat === undefined && containerFormat === 'bare'
  if (!isOpen || sizeBytes === undefined || read === undefined) return undefined
  const { inspect } = await import('@disk-image/image-utils/inspector')
  const { signal } = session.io
  const inspection = await inspect({
    size: sizeBytes,
    read: (offset, length) => read(offset, length, { signal }),
  })
  return soleFormat(session, inspection, hints)
}

/** Tells what a source was taken for. */
export function sayFound(session: Session, format: string): void {
  session.remark(`Source: ${format}, as the inspector found`)
}

/**
 * The one format that bytes can be. Whoever writes onto a disk writes the mark of a format there, too: where a raw disk
 * may be meant, a mark is no answer. That bytes are a disk in two formats is judged by its rule.
 */
function soleFormat(session: Session, inspection: InspectionResult, hints: Hints): DiskFormat | undefined {
  const { format: found, verdict, details } = inspection
  const { name, isBlockDevice = false, isUnlocked = false, allowsArchives = false } = hints
  const format = found as DiskFormat
  const others = (other: string, why: string): UsageError =>
    new UsageError(
      `${printable(name)} can be ${found} or ${other}: ${why}. Say with --from ${found} or --from ${other} which.`,
    )
  if (verdict === 'not-a-disk-image') {
    if (allowsArchives) throw others('raw', 'its bytes are kept as they are')
    return undefined
  }
  // What ends so is written raw, and read as anything.
  const isImg = path.extname(name).toLowerCase() === '.img'
  const said = isImg
    ? undefined
    : (readOnlyEndings.get(path.extname(name).toLowerCase()) ?? formatOfEnding(name))
  const isUnlockedLuks = found === 'luks' && isUnlocked
  if (!isUnlockedLuks && said !== undefined && said !== 'ova' && !isSameFormat(said, found)) {
    throw others(said, `its name says ${said}, its bytes say ${found}`)
  }
  if (!isUnlockedLuks && !isSameFormat(found, 'raw')) {
    if (isBlockDevice) throw others('raw', 'whoever writes onto a block device can write such a start')
    if (said === undefined && found === 'luks') throw others('raw', 'without a key it is kept encrypted')
    const isAtItsEnd = details.foundAt === 'footer' || found === 'dmg'
    if (said === undefined && isAtItsEnd) throw others('raw', 'only its end says what it is')
  }
  sayFound(session, found)
  return format
}
