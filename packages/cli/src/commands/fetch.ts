import { type Command, Option } from 'commander'
import type {
  ImageToVolumePlan,
  ImageToVolumeReport,
  ImageToVolumeRequest,
  ImageUtils,
} from '@disk-image/image-utils'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { ListFlags } from './list-entry.ts'
import { alignFields } from '../output/table.ts'
import { exactBytes, formatSeconds } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { resolveDestination } from './file-source.ts'
import { confirmOverwrite } from './overwrite.ts'
import { readTransfer, type TransferFlags } from './fetch-request.ts'
import { jsonOfReport } from './fetch-report.ts'
import { withFormatOptions } from './format-options.ts'
import { withArchiveOption } from './judge-upload.ts'
import type { Perform } from './perform.ts'
import { lookUpChecksums, openWord, readSourceWord, withSourceOptions } from './open-word.ts'
import { collect, knownFormat, size, wholeNumber } from './values.ts'

interface FetchFlags extends TransferFlags, ListFlags {
  readonly dryRun?: boolean
  readonly disk?: readonly string[]
}

const notes = `
The image is inspected before a byte is written, and its hash is verified while it flows. When it is refused,
or anything breaks, nothing temporary is left, and nothing on DEST can be taken for an image.

A list has one image on each line: IMAGE DEST [KEY=VALUE …], where a key is an option without its dashes
(format, subformat, size, disable-sparse, verify-before-write, no-sync, connections, prefer-store, passphrase-file, cipher,
key-size, source-passphrase-file, decrypt, as, checksum, limit-rate); what a line doesn't say, the command line does.
IMAGE is whatever fetch takes, but for -; checksum is HASH or the URL of a list of checksums, several with commas between. A word that begins with # begins a remark.
A line may be a JSON object instead: {"image": "…", "volume": "…", "size": 20}. The whole list is checked
before anything is fetched. What several lines want is downloaded once. Each line fails for itself; the exit code
is that of the failures where they are all alike, and 1 otherwise.

Examples:
  $ disk-image fetch IMAGE disk.raw                           into a file, with holes where there are zeroes
  $ disk-image fetch ./disk.qcow2 /dev/vg0/volume --checksum sha256:9f86…
  $ disk-image fetch https://host/disk.qcow2 /dev/vg0/volume --checksum https://host/SHA256SUMS
  $ disk-image fetch oci://quay.io/containerdisks/fedora:40 disk.raw
  $ disk-image fetch s3://bucket/disk.qcow2 disk.raw --endpoint-url https://minio.example.org
  $ disk-image fetch IMAGE /dev/vg0/volume --size 20          onto a block device, if it fits into 20 GiB
  $ disk-image fetch IMAGE disk.raw --size 512M               into a file of 512 MiB
  $ disk-image fetch IMAGE disk.vmdk --format vmdk --subformat streamOptimized
  $ disk-image fetch IMAGE - --format qcow2 | ssh host 'cat > disk.qcow2'
  $ disk-image fetch OVA system.raw data.raw                  each disk of an OVA onto its own volume, in one pass
  $ disk-image fetch IMAGE /dev/vg0/volume --dry-run          what would happen, and what would be refused
  $ disk-image fetch --list images.txt --jobs 4               one image on each line of a file
  $ generate-list | disk-image fetch --list - --json          one JSON object on each line of the output`

/** `disk-image fetch`: an image onto a volume. */
export function addFetchCommand(program: Command, perform: Perform): void {
  withFormatOptions(withSourceOptions(withArchiveOption(program.command('fetch'))))
    .summary('an image onto a volume')
    .description('Puts an image onto a volume: downloaded, inspected, judged, verified, written.')
    .argument(
      '[image]',
      "an image's id or name; ./file, - for standard input, or another source: see From anywhere in the guide",
    )
    .argument(
      '[dest...]',
      'a file, made when missing, a block device, never made, or - for standard output; of an OVA one for each disk',
    )
    .option(
      '--format <format>',
      "the volume's format: raw, qcow2, vhd, vhdx, vmdk, vdi, luks …",
      knownFormat('--format', 'write'),
      'raw',
    )
    .option('--subformat <name>', 'a variant of the format, for example fixed or streamOptimized')
    .option(
      '--size <size>',
      "the volume's size, for example 20G: what doesn't fit is refused, a file becomes so large",
      size('--size', { plain: 'G' }),
    )
    .option(
      '--disk <name>',
      'the disk to take of an OVA, by its name; may be repeated, in the order of DEST',
      collect,
    )
    .option(
      '--as <format>',
      'what the disk is, where no record says so: raw goes onto DEST in one pass',
      knownFormat('--as', 'read'),
    )
    .option('--cache <dir>', 'keep verified downloads here, for every command that names it')
    .option('--cache-size <size>', 'of the cache (default: 100G)', size('--cache-size', { plain: 'G' }))
    .option('--dry-run', 'the plan: steps, space, what would be refused; writes nothing')
    .option('--disable-sparse', 'write zeroes too')
    .addOption(
      new Option(
        '--verify <how>',
        'strict: refuse what has no hash to compare with; none: compare only sizes and --checksum',
      ).choices(['strict', 'fallback', 'none']),
    )
    .option('--verify-before-write', 'write nothing before everything is verified')
    .option('--no-sync', 'end before the disk has everything: sooner, and lost when the power goes')
    .option('--connections <n>', 'parallel connections of the download', wholeNumber('--connections', 1))
    .option(
      '--prefer-store <id>',
      'read from this store where the image is in several; may be repeated, in order',
      collect,
    )
    .option('--passphrase-file <file>', "for --format luks: a file with the volume's passphrase")
    .option('--cipher <spec>', 'for --format luks, for example aes-xts-plain64')
    .option('--key-size <bits>', 'bits of the key', wholeNumber('--key-size', 1))
    .option('--source-passphrase-file <file>', "a file with an encrypted image's passphrase")
    .option('--decrypt', 'write what is inside an encrypted image as a raw disk, which is not encrypted')
    .optionsGroup('Many at once:')
    .option('--list <file>', 'fetch what a file lists, - for standard input')
    .option('--jobs <n>', 'how many at once (one for each processor, 2 to 8)', wholeNumber('--jobs', 1))
    .option('--jobs-per-device <n>', 'how many at once onto one disk', wholeNumber('--jobs-per-device', 1))
    .option(
      '--byte-budget <size>',
      'memory and temporary files at once, for example 20G (half of what is free for temporary files)',
      size('--byte-budget', { plain: 'B' }),
    )
    .option('--stop-on-failure', 'begin nothing more after a failure')
    .addHelpText('after', notes)
    .action(perform<FetchFlags>(fetchAny))
}

async function fetchAny(
  session: Session,
  flags: FetchFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  if (flags.list !== undefined) {
    if (operands.length > 0)
      throw new UsageError('--list says what is fetched: give no IMAGE and DEST beside it.')
    const { fetchList } = await import('./fetch-list.ts')
    return fetchList(session, flags, flags.list)
  }
  if (operands.length < 2) throw new UsageError('Give IMAGE and DEST, or --list FILE.')
  const only = (['jobs', 'jobsPerDevice', 'byteBudget', 'stopOnFailure'] as const).find((name) =>
    session.isGiven(name),
  )
  if (only !== undefined) {
    const name = only.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new UsageError(`--${name} goes with --list.`)
  }
  return fetchImage(session, flags, operands)
}

async function fetchImage(
  session: Session,
  given: FetchFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const [name = '', ...destinations] = operands
  const flags = await lookUpChecksums(session, given, name)
  const isOutput = destinations.includes('-')
  if (isOutput && flags.dryRun === true) throw new UsageError('--dry-run is for a file or block device.')
  if (isOutput && destinations.length > 1) resolveDestination(session, '-')
  const word = await readSourceWord(name, 'image')
  const store = word.kind === 'image' ? await session.store() : undefined
  // The thread that hashes starts while this one loads the rest: the data is here before it otherwise.
  if (flags.dryRun !== true) store?.imageService.prepareDownload?.()
  const imageUtils = await session.imageUtils()
  const { disk: disks = [] } = flags
  if (disks.length > 0 && disks.length !== destinations.length) {
    throw new UsageError('Give one DEST for each --disk, in the same order.')
  }
  const isId = word.kind === 'image' && word.isId
  if (isId && flags.as !== undefined)
    throw new UsageError('--as is for what has no record: an image has one.')
  await using opened = isId
    ? undefined
    : await openWord(session, imageUtils, name, { bare: 'image', diskFormat: flags.as })
  const image =
    word.kind === 'image' && opened === undefined
      ? { imageId: word.name }
      : { imageId: opened?.record?.id ?? opened?.name ?? '', source: opened }
  const request = {
    ...readTransfer(session, imageUtils, flags, store, { ...image, volume: destinations[0] ?? '' }),
    ...session.call,
    disk: disks[0],
  }
  if (destinations.length > 1) {
    return await fetchDisks(session, imageUtils, request, {
      destinations,
      disks,
      dryRun: flags.dryRun === true,
    })
  }
  if (flags.dryRun === true) {
    const plan = await imageUtils.planImageToVolume(request)
    session.answer(plan, describePlan(session, plan))
    return plan.refusals.length === 0 ? exitCodes.done : exitCodes.refused
  }
  if (request.target === undefined) await confirmOverwrite(session, [request.volume])
  const report = await imageUtils.imageToVolume(request)
  session.answer(jsonOfReport(report), describeReport(session, report))
  return exitCodes.done
}

/** The disks of an OVA, each onto a volume. */
async function fetchDisks(
  session: Session,
  imageUtils: ImageUtils,
  { volume: _volume, disk: _disk, volumeSizeGiB, ...request }: ImageToVolumeRequest,
  {
    destinations,
    disks,
    dryRun,
  }: {
    readonly dryRun: boolean
    readonly destinations: readonly string[]
    readonly disks: readonly string[]
  },
): Promise<ExitCode> {
  if (volumeSizeGiB !== undefined) throw new UsageError('--size is for one DEST.')
  const volumes = destinations.map((name, index) => ({
    volume: resolveDestination(session, name),
    disk: disks[index],
  }))
  if (dryRun) {
    const plans = await imageUtils.planArchiveToVolumes({ ...request, volumes })
    session.answer(
      plans,
      plans.flatMap((plan, index) => [...(index === 0 ? [] : ['']), ...describePlan(session, plan)]),
    )
    return plans.every(({ refusals }) => refusals.length === 0) ? exitCodes.done : exitCodes.refused
  }
  await confirmOverwrite(
    session,
    volumes.map(({ volume }) => volume),
  )
  const reports = await imageUtils.archiveToVolumes({ ...request, volumes })
  session.answer(
    reports.map(jsonOfReport),
    reports.flatMap((report, index) => [...(index === 0 ? [] : ['']), ...describeReport(session, report)]),
  )
  return exitCodes.done
}

function describeReport({ style }: Session, report: ImageToVolumeReport): string[] {
  const { hash, verified, durationSeconds: seconds } = report
  const names = (verified.length === 0 && hash?.verified === true ? [hash] : verified).map(
    ({ algorithm }) => algorithm,
  )
  const computed = hash === undefined ? '' : `, ${hash.algorithm} ${hash.value}`
  const hashText =
    names.length > 0
      ? { text: `${names.join(', ')} verified`, paint: style.good }
      : { text: `unverified: nothing to compare with${computed}`, paint: style.note }
  const taken = [
    formatSeconds(seconds.total),
    seconds.convert > 0
      ? `(download ${formatSeconds(seconds.download)}, convert ${formatSeconds(seconds.convert)})`
      : '',
  ]
  return alignFields([
    ['Image', report.imageId],
    ['Volume', { text: report.volume, paint: style.bold }],
    ['Disk of it', report.unwrapped?.disk],
    [
      'Format',
      report.format === report.volumeFormat ? report.format : `${report.format} → ${report.volumeFormat}`,
    ],
    ['Disk', exactBytes(report.virtualSizeBytes)],
    ['Downloaded', exactBytes(report.bytesDownloaded)],
    ['Kept', report.resumedBytes === 0 ? undefined : exactBytes(report.resumedBytes)],
    ['Written', exactBytes(report.bytesWritten)],
    ['Hash', hashText],
    ['Signature', report.signatureVerified ? { text: 'verified', paint: style.good } : undefined],
    ['Continued', report.resumes === 0 ? undefined : `${report.resumes} times`],
    ['Time', taken.join(' ').trim()],
  ])
}

function describePlan({ style }: Session, plan: ImageToVolumePlan): string[] {
  const { refusals } = plan
  const found = plan.format ?? 'not known before the download'
  const lines = alignFields([
    ['Image', plan.imageId],
    ['Volume', { text: plan.volume, paint: style.bold }],
    ['Disk of it', plan.disk],
    ['Format', `${found} → ${plan.volumeFormat}`],
    ['Tools', plan.needsQemuImg ? 'qemu-img' : 'none'],
    [
      'Temporary space',
      `at most ${exactBytes(plan.temporaryBytes)}, ${exactBytes(plan.freeTemporaryBytes)} are free`,
    ],
    [
      'On the volume',
      plan.volumeBytes === undefined ? 'not known yet' : `at most ${exactBytes(plan.volumeBytes)}`,
    ],
  ])
  const steps = plan.steps.map((step, index) => `  ${index + 1}. ${step}`)
  if (refusals.length === 0) {
    return [...lines, 'Steps', ...steps, style.good('No problems found. Nothing was written.')]
  }
  return [
    ...lines,
    style.bad('It would be refused:'),
    ...refusals.flatMap(({ rule, reason, found, offset, accepted, reference }) => [
      ...alignFields([[{ text: '✗', paint: style.bad }.text, reason]], '  '),
      ...alignFields(
        [
          ['rule', rule],
          ['found', found],
          ['at', offset === undefined ? undefined : `byte ${offset}`],
          ['accepted', accepted],
          ['see', reference],
        ],
        '     ',
      ),
    ]),
    'Nothing was written.',
  ]
}
