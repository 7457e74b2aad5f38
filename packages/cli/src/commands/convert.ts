import type { WritableDiskFormat, DiskFormat } from '@disk-image/core'
import { type Command, Option } from 'commander'
import { open, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { ImageUtils, Word } from '@disk-image/image-utils'
import { formatSeconds, exactBytes } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import type { MachineFlags } from './convert-to-ova.ts'
import { readFormatOptions, withFormatOptions } from './format-options.ts'
import { type EncryptionFlags, readEncryption } from './encryption.ts'
import {
  holdOperand,
  openDestination,
  openStream,
  resolveDestination,
  resolveOperand,
} from './file-source.ts'
import {
  lookUpChecksums,
  openWord,
  readManner,
  readSourceWord,
  type SourceFlags,
  withSourceOptions,
} from './open-word.ts'
import { jsonOfReport } from './fetch-report.ts'
import { withArchiveOption } from './judge-upload.ts'
import {
  findFileFormat,
  findSourceFormat,
  formatOfDestination,
  type Hints,
  sayFound,
} from './found-format.ts'
import { checkDifferent, confirmOverwrite } from './overwrite.ts'
import type { Perform } from './perform.ts'
import { collect, collectProperty, knownFormat, operand, wholeNumber } from './values.ts'

interface ConvertFlags extends EncryptionFlags, MachineFlags, SourceFlags {
  /** One for all, or for `--to ova` one for each source. */
  readonly from?: readonly DiskFormat[]
  readonly to?: WritableDiskFormat | 'ova'
  readonly subformat?: string
  readonly option?: readonly string[]
  readonly compress?: 'none' | 'zlib' | 'zstd'
  readonly disableSparse?: boolean
  readonly disk?: readonly string[]
}

const notes = `
The source is inspected first: what is not what --from says, or refers to other files, is refused. A file that is
compressed (gzip, zstd, xz, bzip2) or an archive (tar, OVA) is opened: --from says what the disk inside is.
Without --from the source is what the inspector finds. What could be two things is not guessed: a block device
with the mark of a format, which whoever writes onto it can write, a name that says another format, a LUKS
without a key, or a format that only the end shows.

Examples:
  $ disk-image convert disk.qcow2 disk.raw
  $ disk-image convert disk.raw disk.vhd --subformat fixed
  $ disk-image convert /dev/vg/volume-1 volume.luks --from raw --passphrase-file secret
  $ disk-image convert disk.raw - --to qcow2 --compress zstd | ssh host 'cat > disk.qcow2'
  $ disk-image convert disk.raw.xz /dev/vg/volume-1
  $ disk-image convert machine.ova system.raw data.raw
  $ disk-image convert system.qcow2 data.qcow2 machine.ova --firmware efi
  $ disk-image convert disk.vmdk disk-f001.vmdk disk-f002.vmdk disk.raw`

const writtenFormat = knownFormat('--to', 'write')
const readFormat = knownFormat('--from', 'read')

/** `disk-image convert`: one disk file into another, or several into an OVA. */
export function addConvertCommand(program: Command, perform: Perform): void {
  withFormatOptions(withSourceOptions(withArchiveOption(program.command('convert'))))
    .summary('a disk into another format')
    .description('Converts a disk into another format. What could be two things is refused, not guessed.')
    .usage(
      '[options] <source> [<part>…] <dest>\n       disk-image convert [options] <source>… <dest> --to ova',
    )
    .argument(
      '<source>',
      'a file or block device; of a VMDK in several files its descriptor, or its folder; image:NAME, - or another source',
    )
    .argument(
      '<dest...>',
      'a file, made when missing, a block device, never made, or - for standard output; before it the parts of a VMDK',
    )
    .option(
      '--from <format>',
      "the source's format (default: what the inspector finds); for --to ova one for all sources, or repeated for each",
      (text, before?: readonly string[]) => collect(readFormat(text), before),
    )
    .option(
      '--to <format>',
      "the destination's format: raw, qcow2, vhd, vhdx, vmdk, vdi, luks …; ova packs all sources (default: by its ending; of a block device raw)",
      (text) => (text === 'ova' ? text : writtenFormat(text)),
    )
    .option('--subformat <name>', 'a variant of the format, for example fixed or streamOptimized')
    .addOption(
      new Option('--compress <how>', "compression of a qcow2 (default: 'none')").choices([
        'none',
        'zlib',
        'zstd',
      ]),
    )
    .option(
      '--disk <name>',
      'the disk to take of an OVA, by its name; may be repeated, in the order of DEST',
      collect,
    )
    .option('--disable-sparse', 'write zeroes too')
    .option('--passphrase-file <file>', "for --to luks: a file with the volume's passphrase")
    .option('--cipher <spec>', 'for --to luks, for example aes-xts-plain64')
    .option('--key-size <bits>', 'bits of the key', wholeNumber('--key-size', 1))
    .option('--source-passphrase-file <file>', "a file with an encrypted source's passphrase")
    .option('--decrypt', 'write what is inside an encrypted source as a raw disk, which is not encrypted')
    .option('--name <name>', "for --to ova: the machine's name (default: that of the file)")
    .addOption(
      new Option('--controller <kind>', "for --to ova: what the disks hang on (default: 'lsilogic')").choices(
        ['buslogic', 'ide', 'lsilogic', 'lsilogicsas', 'nvme', 'pvscsi', 'sata'],
      ),
    )
    .addOption(new Option('--firmware <kind>', "for --to ova (default: 'bios')").choices(['bios', 'efi']))
    .option(
      '--property <key=value>',
      'for --to ova: a property of an image that tells of the machine, such as vmware_ostype; may be repeated',
      collectProperty,
    )
    .addHelpText('after', notes)
    .action(perform<ConvertFlags>(convert))
}

async function convert(
  session: Session,
  flags: ConvertFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const { compress = 'none' } = flags
  const name = operand(operands, 0)
  const destinationName = operand(operands, operands.length - 1)
  const word = await readSourceWord(name, 'file')
  const to = flags.to ?? (await formatOfDestination(session, destinationName))
  if (compress !== 'none' && to !== 'qcow2') throw new UsageError('--compress is for --to qcow2.')
  const imageUtils = await session.imageUtils()
  const encryption = readEncryption(session, imageUtils, flags, to)
  if (to === 'ova') {
    requireNone(
      session,
      ['compress', 'decrypt', 'disableSparse', 'disk', 'sourcePassphraseFile', 'subformat', 'option'],
      'is not for --to ova',
    )
    const { convertToOva } = await import('./convert-to-ova.ts')
    await convertToOva(session, imageUtils, flags, operands)
    return
  }
  if ((flags.from ?? []).length > 1) throw new UsageError('--from is repeated for --to ova only.')
  requireNone(session, ['controller', 'firmware', 'name', 'property'], 'is for --to ova')
  const formatOptions = readFormatOptions(to, flags.option)
  const isStream = word.kind === 'file' && (await openStream(session, name)) !== undefined
  const hints = {
    isUnlocked: encryption.sourcePassphraseFile !== undefined,
    allowsArchives: flags.allowArchivesAsRaw,
  }
  const found =
    flags.from !== undefined || word.kind !== 'file' || isStream
      ? undefined
      : await findFileFormat(session, { ...hints, name: word.path })
  const wanted = { ...flags, from: flags.from?.[0] ?? found, to, hints, isToGiven: flags.to !== undefined }
  if (await convertSource(session, imageUtils, wanted, word, operands)) return
  // What is no disk and is opened by nobody is refused as one.
  const { from = 'raw' } = wanted
  const parts = [word.kind === 'file' ? word.path : name, ...operands.slice(1, -1)]
  const { first, siblings } = await findParts(session, parts, from)
  const { volume: destination, target } = openDestination(session, destinationName)
  await using held = await holdOperand(session, first)
  const source = held.name
  for (const part of [held.path, ...siblings]) await checkDifferent(destination, part)
  if (target === undefined) await confirmOverwrite(session, [destination])
  const startedMs = performance.now()
  await imageUtils.convertImage(source, destination, to, {
    ...session.call,
    outSubformat: flags.subformat,
    formatOptions,
    srcFormat: from,
    runAsRoot: session.runAsRoot,
    cipherSpec: encryption.cipherSpec,
    passphraseFile: encryption.passphraseFile,
    srcPassphraseFile: encryption.sourcePassphraseFile,
    decrypt: encryption.decrypt,
    compress: compress !== 'none',
    compression: compress === 'none' ? undefined : compress,
    imageId: source,
    disableSparse: flags.disableSparse,
    siblings,
    target,
    throttle: readManner(flags).throttle,
  })
  const durationSeconds = (performance.now() - startedMs) / 1000
  const result = target === undefined ? await stat(destination) : undefined
  const sizeBytes = result?.isFile() === true ? result.size : undefined
  const size = sizeBytes === undefined ? '' : `, ${exactBytes(sizeBytes)}`
  session.answer(
    { source, destination, from, to, ...(sizeBytes === undefined ? {} : { sizeBytes }), durationSeconds },
    [`${destination}: ${from} → ${to}${size}, in ${formatSeconds(durationSeconds)}`],
  )
}

/**
 * Converts what is read from its start to its end: what comes from elsewhere, what is compared with a checksum, and
 * the disks in what a file is wrapped in, by what its first bytes are: each DEST gets one.
 *
 * @returns false for a file, or a folder of several, that is read at any place
 */
async function convertSource(
  session: Session,
  imageUtils: ImageUtils,
  flags: Omit<ConvertFlags, 'from'> &
    GlobalFlags & {
      readonly from: DiskFormat | undefined
      readonly to: WritableDiskFormat
      /** Otherwise the last destination says it. */
      readonly isToGiven: boolean
      readonly hints: Omit<Hints, 'name'>
    },
  word: Word,
  [name = '', ...destinations]: readonly string[],
): Promise<boolean> {
  const manner = readManner(await lookUpChecksums(session, flags, name))
  const isPlain = word.kind === 'file' && manner.checksums === undefined
  const isStream = word.kind === 'file' && (await openStream(session, name)) !== undefined
  const file = word.kind === 'file' ? session.resolve(word.path) : undefined
  const found = file === undefined || isStream ? undefined : await stat(file).catch(() => undefined)
  if (isPlain && !isStream && (found?.isFile() !== true || session.flags.allowArchivesAsRaw === true)) {
    return false
  }
  await using opened = await openWord(session, imageUtils, name, {
    bare: 'file',
    diskFormat: flags.from,
  })
  const { containerFormat = 'bare' } = opened
  if (isPlain && !isStream && containerFormat === 'bare') return false
  if ((flags.compress ?? 'none') !== 'none') {
    throw new UsageError('--compress is for a local file that is in no archive, without --checksum.')
  }
  for (const destination of flags.isToGiven ? [] : destinations) {
    const other = await formatOfDestination(session, destination)
    if (other === flags.to) continue
    throw new UsageError(
      `${destination} would be ${other}, and the last one ${flags.to}: say which with --to FORMAT.`,
    )
  }
  const asked = flags.from === undefined && word.kind !== 'image' && opened.diskFormat === undefined
  const nameOfUrl = word.kind === 'remote' ? (URL.parse(name)?.pathname ?? '') : name
  const seen = asked
    ? await findSourceFormat(session, opened, { ...flags.hints, name: nameOfUrl })
    : undefined
  const { disk: disks = [] } = flags
  if (disks.length > 0 && disks.length !== destinations.length) {
    throw new UsageError('Give one DEST for each --disk, in the same order.')
  }
  const [only = ''] = destinations
  const volumes = destinations.map((destination, index) => ({
    ...(destinations.length === 1
      ? openDestination(session, only)
      : { volume: resolveDestination(session, destination) }),
    disk: disks[index],
  }))
  if (found !== undefined && file !== undefined) {
    for (const { volume } of volumes) await checkDifferent(volume, file)
  }
  const overwritten = volumes.filter((one) => !('target' in one) || one.target === undefined)
  await confirmOverwrite(
    session,
    overwritten.map(({ volume }) => volume),
  )
  const reports = await imageUtils.archiveToVolumes({
    ...session.call,
    ...readEncryption(session, imageUtils, flags, flags.to),
    ...manner,
    // A local file that is compared with nothing needs no hash.
    verify: opened.kind === 'file' ? 'none' : undefined,
    imageId: opened.record?.id ?? (opened.kind === 'file' ? path.basename(opened.name) : opened.name),
    source: seen === undefined ? opened : { ...opened, diskFormat: seen },
    volumes,
    volumeFormat: flags.to,
    volumeSubformat: flags.subformat,
    formatOptions: readFormatOptions(flags.to, flags.option),
    disableSparse: flags.disableSparse,
    runAsRoot: session.runAsRoot,
  })
  if (asked && seen === undefined) {
    sayFound(session, [...new Set(reports.map(({ format }) => format))].join(', '))
  }
  session.answer(
    reports.map(jsonOfReport),
    reports.map(
      ({ volume, format, volumeFormat, virtualSizeBytes, unwrapped, verified }) =>
        `${volume}: ${unwrapped?.disk ?? opened.name}, ${format} → ${volumeFormat}, ${exactBytes(virtualSizeBytes)}${verified.map(({ algorithm }) => `, ${algorithm} verified`).join('')}`,
    ),
  )
  return true
}

/** @throws {UsageError} where one of these was given */
function requireNone(session: Session, keys: readonly (keyof ConvertFlags)[], reason: string): void {
  for (const key of keys) {
    if (!session.isGiven(key)) continue
    throw new UsageError(`--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${reason}.`)
  }
}

/** The files of the source: one, or a descriptor and its parts, of which a folder has all. */
async function findParts(
  session: Session,
  names: readonly string[],
  from: string,
): Promise<{ readonly first: string; readonly siblings: readonly string[] }> {
  const [first = '', ...others] = names
  const isVmdk = from === 'vmdk'
  if (others.length > 0 && !isVmdk) throw new UsageError('Only a VMDK can be in several files: --from vmdk.')
  if (!isVmdk) return { first, siblings: [] }
  const folder = session.resolve(first)
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isFolder) return { first, siblings: others.map((name) => resolveOperand(session, name)) }
  if (others.length > 0) throw new UsageError('A folder has all files of a VMDK: give it alone.')
  const entries = await readdir(folder, { withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => path.join(folder, name))
  const descriptors = []
  for (const file of files) if (await isDescriptor(file)) descriptors.push(file)
  const [descriptor] = descriptors
  if (descriptor === undefined || descriptors.length > 1) {
    const found = descriptors.length === 0 ? 'no VMDK descriptor' : `${descriptors.length} VMDK descriptors`
    throw new UsageError(`${folder} has ${found}: give the descriptor and its parts instead.`)
  }
  return { first: descriptor, siblings: files.filter((file) => file !== descriptor) }
}

/** Whether a file is text that says so in its first line. */
async function isDescriptor(file: string): Promise<boolean> {
  await using handle = await open(file, 'r')
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0)
  return buffer.toString('latin1', 0, bytesRead).toLowerCase().includes('# disk descriptorfile')
}
