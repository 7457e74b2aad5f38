import type { Command } from 'commander'
import { type DiskFormat, formatBytes, GiB, printable } from '@disk-image/core'
import type { DescribedSource, ImageUtils, Word } from '@disk-image/image-utils'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { exactBytes } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { openStream, resolveOperand } from './file-source.ts'
import { isWrappedFile } from './judge-upload.ts'
import {
  lookUpChecksums,
  openWord,
  readChecksums,
  readManner,
  readSourceWord,
  type SourceFlags,
  withDiskOption,
  withSourceOptions,
} from './open-word.ts'
import type { Perform } from './perform.ts'
import { knownFormat, operand, size } from './values.ts'

/** Flags of what both commands read. */
interface ComparedFlags extends SourceFlags {
  readonly disk?: string
  readonly sourcePassphraseFile?: string
}

interface VerifyFlags extends ComparedFlags {
  readonly volumeFormat: DiskFormat
  readonly as?: DiskFormat
  /** GiB. */
  readonly size?: number
}

interface CompareFlags extends ComparedFlags {
  readonly from?: DiskFormat
  readonly to?: DiskFormat
}

const verifyNotes = `
The content of the disks is compared, byte by byte, whatever formats they are kept in; where one is longer, the rest
must be zeros. The image is inspected, judged and verified as on its way onto a volume. Nothing is written.
Without IMAGE the volume's content is compared with --checksum: all of it, or --size from its start.
Exits with 0 where they are identical, with 1 where they differ or can't be read.

Examples:
  $ disk-image verify /dev/vg/volume-1 ubuntu-24.04
  $ disk-image verify volume.qcow2 ./ubuntu.vmdk --volume-format qcow2
  $ disk-image verify /dev/vg/volume-1 --checksum sha256:9f86… --size 2G`

const compareNotes = `
Each is what the inspector finds, unless --from (A) or --to (B) says it. One of them is a local file or block device.
Exits with 0 where they are identical, with 1 where they differ or can't be read.

Examples:
  $ disk-image compare disk.vmdk disk.qcow2
  $ disk-image compare disk.raw https://example.org/disk.raw.xz`

/** `disk-image verify` and `disk-image compare`: whether two disks are the same. */
export function addVerifyCommand(program: Command, perform: Perform): void {
  const verifying = withSourceOptions(program.command('verify'))
    .summary('whether a volume has the content of an image')
    .description('Compares the content of a volume with an image, or with a checksum.')
    .argument('<volume>', 'a file or block device')
    .argument('[image]', "an image's id or name; ./file, - for standard input, or another source")
    .option('--volume-format <format>', 'what the volume is', knownFormat('--volume-format', 'read'), 'raw')
    .option('--as <format>', 'what the image is, where no record says so', knownFormat('--as', 'read'))
    .option(
      '--size <size>',
      'for --checksum without IMAGE: so much of the volume, for example 2G (default: all)',
      size('--size', { plain: 'G' }),
    )
  withComparedOptions(verifying).addHelpText('after', verifyNotes).action(perform<VerifyFlags>(verify))
}

/** `disk-image compare`: two disks by their content. */
export function addCompareCommand(program: Command, perform: Perform): void {
  const comparing = withSourceOptions(program.command('compare'))
    .summary('whether two disks have the same content')
    .description('Compares the content of two disks, whatever formats they are kept in.')
    .argument('<a>', 'a file or block device; image:NAME, - or another source')
    .argument('<b>', 'the same')
    .option('--from <format>', 'what A is', knownFormat('--from', 'read'))
    .option('--to <format>', 'what B is', knownFormat('--to', 'read'))
  withComparedOptions(comparing).addHelpText('after', compareNotes).action(perform<CompareFlags>(compare))
}

function withComparedOptions(command: Command): Command {
  return withDiskOption(command).option(
    '--source-passphrase-file <file>',
    "a file with an encrypted image's passphrase: what is inside is compared",
  )
}

async function verify(
  session: Session,
  flags: VerifyFlags & GlobalFlags,
  [volumeName = '', name]: readonly string[],
): Promise<ExitCode> {
  const volume = resolveOperand(session, volumeName)
  if (name === undefined) return verifyChecksums(session, flags, volume)
  if (flags.size !== undefined) throw new UsageError('--size is for --checksum without IMAGE.')
  const word = await readSourceWord(name, 'image')
  const image = { word, name, bare: 'image' as const, format: flags.as }
  return verifyImage(session, flags, image, { volume, format: flags.volumeFormat })
}

async function verifyChecksums(
  session: Session,
  flags: VerifyFlags & GlobalFlags,
  volume: string,
): Promise<ExitCode> {
  const checksums = readChecksums(await lookUpChecksums(session, flags, volume))
  if (checksums.length === 0) throw new UsageError('Give IMAGE or --checksum ALGORITHM:HEX to compare with.')
  const imageUtils = await session.imageUtils()
  const report = await imageUtils.verifyVolumeChecksums({
    ...session.call,
    volume,
    volumeFormat: flags.volumeFormat,
    checksums,
    sizeBytes: flags.size === undefined ? undefined : Math.round(flags.size * GiB),
  })
  const { identical, sizeBytes, found } = report
  const hashes = found.map(({ algorithm, value }) => `${algorithm} ${value}`).join(', ')
  session.answer(report, [
    `${verdictOf(session, identical, 'Different')}: ${printable(volume)}, ${exactBytes(sizeBytes)}, ${hashes}`,
  ])
  return identical ? exitCodes.done : exitCodes.failed
}

async function compare(
  session: Session,
  flags: CompareFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const sides = await Promise.all(
    [flags.from, flags.to].map(async (format, index) => {
      const name = operand(operands, index)
      const word = await readSourceWord(name, 'file')
      const isFile = word.kind === 'file' && (await openStream(session, name)) === undefined
      const path = isFile ? session.resolve(word.path) : undefined
      const isDisk = path !== undefined && !(await isWrappedFile(session, name, path))
      return { word, name, bare: 'file' as const, format, path, isDisk }
    }),
  )
  const there = sides.find(({ isDisk }) => isDisk)
  const other = sides.find((side) => side !== there)
  if (there?.path === undefined || other === undefined) {
    throw new UsageError('One of both must be a local disk that is in no archive: fetch one of them first.')
  }
  return verifyImage(session, flags, other, { volume: there.path, format: there.format })
}

interface ComparedImage {
  readonly word: Word
  readonly name: string
  readonly bare: 'image' | 'file'
  readonly format: DiskFormat | undefined
}

async function verifyImage(
  session: Session,
  given: ComparedFlags & GlobalFlags,
  image: ComparedImage,
  { volume, format }: { readonly volume: string; readonly format: DiskFormat | undefined },
): Promise<ExitCode> {
  const flags = await lookUpChecksums(session, given, image.name)
  const imageUtils = await session.imageUtils()
  await using opened = await openImage(session, imageUtils, image)
  const { sourcePassphraseFile: passphraseFile } = flags
  const report = await imageUtils.verifyVolume({
    ...session.call,
    ...readManner(flags),
    ...opened.request,
    sourceFormat: image.format,
    volume,
    volumeFormat: format,
    disk: flags.disk,
    decrypt: passphraseFile !== undefined,
    sourcePassphraseFile: passphraseFile === undefined ? undefined : session.resolve(passphraseFile),
  })
  const { identical, differsAt = 0, volumeBytes, hash } = report
  const both = `${printable(volume)} and ${printable(report.imageId)}`
  const lines = identical
    ? `${verdictOf(session, true)}: ${both}, ${exactBytes(volumeBytes)}`
    : `${verdictOf(session, false, `Different at byte ${differsAt}`)} (${formatBytes(differsAt)} from the start): ${both}`
  session.answer({ ...report, differsAt: report.differsAt ?? null, hash: hash ?? null }, [lines])
  return identical ? exitCodes.done : exitCodes.failed
}

function verdictOf({ style }: Session, identical: boolean, different = ''): string {
  return identical ? style.good('Identical') : style.bad(different)
}

/** A local file stays a name: it is read where it is. */
async function openImage(
  session: Session,
  imageUtils: ImageUtils,
  { word, name, bare, format }: ComparedImage,
): Promise<
  AsyncDisposable & {
    readonly request: { readonly imageId: string; readonly source: DescribedSource | string }
  }
> {
  const isStream = word.kind === 'file' && (await openStream(session, name)) !== undefined
  if (word.kind === 'file' && !isStream) {
    const file = session.resolve(word.path)
    return { request: { imageId: file, source: file }, [Symbol.asyncDispose]: async () => undefined }
  }
  const source = await openWord(session, imageUtils, name, { bare, diskFormat: format })
  return {
    request: { imageId: source.record?.id ?? source.name, source },
    [Symbol.asyncDispose]: () => source.close(),
  }
}
