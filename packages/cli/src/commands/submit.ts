import type { Command } from 'commander'
import { type DiskFormat, type WritableDiskFormat, formatBytes, MiB } from '@disk-image/core'
import type { Fleet, FleetJob, Submitted } from '@disk-image/fleet'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { type FleetFlags, loadFleet, withFleet, withFleetOptions, describeJob } from './jobs.ts'
import { readInput } from './file-source.ts'
import type { Perform } from './perform.ts'
import { readChecksums } from './open-word.ts'
import { collect, knownFormat, operand, size, wholeNumber } from './values.ts'

/** Most bytes of a list of jobs. */
const largestList = 64 * MiB

interface SubmitFlags extends FleetFlags {
  readonly backend?: string
  readonly fromCloud?: string
  readonly priority?: number
  readonly again?: boolean
  readonly follow?: boolean
  readonly format?: WritableDiskFormat
  readonly subformat?: string
  readonly size?: number
  readonly sha512?: string
  readonly checksum?: readonly string[]
  readonly as?: string
  readonly disk?: string
  readonly decrypt?: boolean
  readonly passphrase?: string
  readonly connections?: number
  readonly preferStore?: readonly string[]
  readonly sourceFormat?: DiskFormat
  readonly compress?: 'none' | 'zlib' | 'zstd'
}

type Make = (flags: SubmitFlags, operands: readonly string[]) => Record<string, unknown> & { type: string }

const notes = `
The same job is there once: image, hash, destination and format make it. Volumes are named as the workers see them.

Examples:
  $ disk-image submit fetch IMAGE /srv/volumes/v1 --from-cloud production --follow
  $ disk-image submit fetch IMAGE rbd:volumes/v1 --from-cloud production
  $ disk-image submit list jobs.jsonl                a JSON object on each line: {"type":"fetch","imageId":…}`

/** `disk-image submit`: work for the fleet. */
export function addSubmitCommands(program: Command, perform: Perform): void {
  const submit = program
    .command('submit')
    .summary('work for the fleet')
    .description('Puts jobs into the queue, for whichever worker serves their back end.')
    .addHelpText('after', notes)
  const add = (name: string, summary: string, make: Make): Command =>
    withFleetOptions(submit.command(name).summary(summary).description(`Submits a job: ${summary}.`))
      .option('--backend <name>', "where the volumes are (default: 'default')")
      .option('--priority <n>', '1 is done first (default: 1000)', wholeNumber('--priority'))
      .option('--again', 'do it though it is done')
      .option('--follow', 'wait until it ended')
      .action(
        perform<SubmitFlags>((session, flags, operands) => submitOne(session, flags, make(flags, operands))),
      )
  const ofCloud = (command: Command): Command =>
    command
      .argument('<image>', "the image's id; of fetch and inspect also image:NAME, https:, s3: and oci:")
      .option('--from-cloud <name>', "the image service, as the workers name it (default: 'default')")
  ofCloud(add('fetch', 'an image onto a volume', makeFetch))
    .argument('<volume>', 'an absolute path, or rbd:POOL/IMAGE')
    .option('--format <format>', "the volume's format", knownFormat('--format', 'write'))
    .option('--subformat <name>', 'a variant of the format')
    .option('--size <size>', "the volume's size: what doesn't fit is refused", size('--size', { plain: 'G' }))
    .option('--sha512 <hex>', 'what the image must be')
    .option('--checksum <algorithm:hex>', 'the same with another hash', collect)
    .option('--as <format>', 'what the disk of a source is', knownFormat('--as', 'read'))
    .option('--disk <name>', 'the disk to take of an OVA')
    .option('--decrypt', 'write what is inside an encrypted image')
    .option('--passphrase <name>', "the worker's name of the passphrase that opens it")
    .option('--connections <n>', 'parallel connections of the download', wholeNumber('--connections', 1))
    .option(
      '--prefer-store <id>',
      'read from this store where the image is in several; may be repeated, in order',
      (store: string, stores: readonly string[] | undefined) => [...(stores ?? []), store],
    )
  ofCloud(add('upload', 'a volume into an image without data', makeUpload))
    .argument('<volume>', 'an absolute path, or rbd:POOL/IMAGE')
    .option('--format <format>', "the volume's format", knownFormat('--format', 'read'))
    .option('--compress <how>', 'compression of a qcow2: none, zlib or zstd')
  ofCloud(
    add('inspect', 'what an image is', (flags, operands) => ({
      type: 'inspect',
      ...imageOf(flags, operands),
    })),
  )
  add('convert', 'a disk file into another format', makeConvert)
    .argument('<source>', 'an absolute path')
    .argument('<volume>', 'an absolute path, or rbd:POOL/IMAGE')
    .option('--source-format <format>', 'what the source is', knownFormat('--source-format', 'read'))
    .option('--format <format>', 'what the volume shall be', knownFormat('--format', 'write'))
    .option('--subformat <name>', 'a variant of the format')
    .option('--compress <how>', 'compression of a qcow2: none, zlib or zstd')
  add('coalesce', 'a chain of VHDs into its base', (_flags, chain) => ({ type: 'coalesce', chain })).argument(
    '<file...>',
    'leaf first, base last; absolute paths',
  )
  withFleetOptions(
    submit
      .command('list')
      .summary('many jobs from a file')
      .description('Submits many jobs: a JSON object on each line, checked before the first is submitted.')
      .argument('<file>', 'a file'),
  )
    .option('--priority <n>', '1 is done first (default: 1000)', wholeNumber('--priority'))
    .action(perform<SubmitFlags>(submitList))
}

const imageOf = (flags: SubmitFlags, operands: readonly string[]): object => {
  const image = operand(operands, 0)
  const isSource = /^(?:https?|s3|oci|image):/.test(image)
  return { ...(isSource ? { source: image } : { imageId: image }), cloud: flags.fromCloud }
}

/** The one hash that a job has. */
function hashOf(flags: SubmitFlags): object | undefined {
  const checksums = readChecksums(flags)
  const all =
    flags.sha512 === undefined ? checksums : [...checksums, { algorithm: 'sha512', value: flags.sha512 }]
  if (all.length > 1) throw new UsageError('A job has one hash: give --checksum once.')
  return all[0]
}

function makeFetch(flags: SubmitFlags, operands: readonly string[]): ReturnType<Make> {
  return {
    type: 'fetch',
    ...imageOf(flags, operands),
    volume: operand(operands, 1),
    volumeFormat: flags.format,
    volumeSubformat: flags.subformat,
    volumeSizeGiB: flags.size,
    hash: hashOf(flags),
    sourceFormat: flags.as,
    disk: flags.disk,
    decrypt: flags.decrypt,
    passphrase: flags.passphrase,
    connections: flags.connections,
    preferStores: flags.preferStore,
  }
}

function makeUpload(flags: SubmitFlags, operands: readonly string[]): ReturnType<Make> {
  const { format: volumeFormat, compress: compression } = flags
  return {
    type: 'upload',
    ...imageOf(flags, operands),
    volume: operand(operands, 1),
    volumeFormat,
    compression,
  }
}

function makeConvert(flags: SubmitFlags, operands: readonly string[]): ReturnType<Make> {
  const { sourceFormat, format: volumeFormat, subformat: volumeSubformat, compress: compression } = flags
  if (sourceFormat === undefined || volumeFormat === undefined) {
    throw new UsageError(
      'Say with --source-format and --format what the source is and what the volume shall be.',
    )
  }
  const [source, volume] = [operand(operands, 0), operand(operands, 1)]
  return { type: 'convert', source, sourceFormat, volume, volumeFormat, volumeSubformat, compression }
}

async function submitOne(
  session: Session,
  flags: SubmitFlags & GlobalFlags,
  made: ReturnType<Make>,
): Promise<ExitCode> {
  return withFleet(session, flags, async (fleet) => {
    const job = { ...made, backend: flags.backend } as unknown as FleetJob
    const submitted = await fleet.submit(job, { priority: flags.priority, again: flags.again })
    if (flags.follow !== true) {
      session.answer(submitted, [describeSubmitted(submitted)], { line: submitted.id })
      return exitCodes.done
    }
    return followToEnd(session, fleet, submitted)
  })
}

async function followToEnd(session: Session, fleet: Fleet, { id }: Submitted): Promise<ExitCode> {
  for await (const view of fleet.follow(id, { signal: session.io.signal })) {
    const { stage, completed, total, unit } = view.progress ?? {}
    if (view.state === 'active' && stage !== undefined && completed !== undefined && unit !== undefined) {
      session.progress.report({ stage: stage as 'download', completed, total, unit })
    }
    if (view.endedAt === undefined) continue
    session.answer(view, describeJob(session.style, view))
    if (view.state === 'completed') return exitCodes.done
    return view.error?.code === 'IMAGE_UNACCEPTABLE' ? exitCodes.refused : exitCodes.failed
  }
  return exitCodes.failed
}

const describeSubmitted = ({ id, isNew }: Submitted): string =>
  isNew ? `${id} is submitted.` : `${id} is there already.`

async function readJobs(session: Session, file: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of readInput(session, file)) {
    bytes += chunk.length
    if (bytes > largestList)
      throw new UsageError(`${file} has more than ${formatBytes(largestList)}. Split it.`)
    chunks.push(new Uint8Array(chunk))
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function submitList(
  session: Session,
  flags: SubmitFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const { checkJob } = await loadFleet()
  const file = operand(operands, 0)
  const lines = (await readJobs(session, file)).split('\n')
  const jobs = lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [checkJob(JSON.parse(line))]
    } catch (cause) {
      throw new UsageError(`Line ${index + 1} of ${file}: ${(cause as Error).message}`, { cause })
    }
  })
  return withFleet(session, flags, async (fleet) => {
    const submitted: Submitted[] = []
    for (const job of jobs) {
      session.io.signal.throwIfAborted()
      submitted.push(await fleet.submit(job, { priority: flags.priority }))
    }
    const isNew = submitted.filter((one) => one.isNew).length
    session.answer({ submitted: isNew, already: submitted.length - isNew, jobs: submitted }, [
      `${isNew} submitted, ${submitted.length - isNew} there already.`,
    ])
    return exitCodes.done
  })
}
