import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Command } from 'commander'
import type { HeldFile } from '@disk-image/host'
import { formatBytes, printable, type RandomAccessReader } from '@disk-image/core'
import type { Check, ImageDetails, InspectionResult } from '@disk-image/image-utils/inspector'
import type { DescribedSource, ImageUtils, InsideInspector, InsideReport } from '@disk-image/image-utils'
import { readFully, writeFully } from '@disk-image/io'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { formatName } from './values.ts'
import { holdOperand, isStandardInput, openStream, resolveOperand } from './file-source.ts'
import { type JudgedFile, judgeFile, judgeInspection, judgeReader } from './judge-file.ts'
import {
  lookUpChecksums,
  openWord,
  readManner,
  readSourceWord,
  type SourceFlags,
  withSourceOptions,
} from './open-word.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import type { Perform } from './perform.ts'
import type { Paint, Style } from '../output/style.ts'
import { alignFields, alignRows } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'

interface InspectFlags extends SourceFlags {
  readonly as?: string
  readonly record?: string
}

const notes = `
Exits with 3 where the file is not safe to open, is not what --as says, or is no disk image. Of an archive or\ncompressed data, which a transfer opens, what is inside is inspected and counts: by its head, where the first\n8 MiB don't show all of it. Of several files each gets a line; --verbose shows all of each.

Examples:
  $ disk-image inspect ubuntu.qcow2
  $ disk-image inspect download.img --as raw
  $ disk-image inspect /srv/images
  $ disk-image inspect image:ubuntu-24.04
  $ disk-image inspect ubuntu.qcow2 --json | jq .virtualSizeBytes`

/** `disk-image inspect`: what the bytes of a file are. */
export function addInspectCommand(program: Command, perform: Perform): void {
  withSourceOptions(program.command('inspect'))
    .summary('what a file is, and whether it is safe')
    .description(
      'Says what the bytes of a file are, how large the disk inside is, and how every safety check ends.',
    )
    .argument('<file...>', 'files, folders of files, or block devices; image:NAME, - or another source')
    .option('--as <format>', "what it is claimed to be: Glance's disk_format", formatName('--as'))
    .option('--record <case>', 'a new file with only what was read of the image, to report a fault with')
    .addHelpText('after', notes)
    .action(perform<InspectFlags>(inspect))
}

async function inspect(
  session: Session,
  given: InspectFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const names = (await Promise.all(operands.map((name) => filesOf(session, name)))).flat()
  if (names.length > 1 && given.record !== undefined) throw new UsageError('--record is for one file.')
  const found: Inspected[] = []
  for (const name of names) {
    session.io.signal.throwIfAborted()
    const flags = await lookUpChecksums(session, given, name)
    const word = await readSourceWord(name, 'file')
    const isStream = word.kind === 'file' && (await openStream(session, name)) !== undefined
    const isPlain = word.kind === 'file' && !isStream && readManner(flags).checksums === undefined
    found.push(
      isPlain ? await inspectFile(session, flags, word.path) : await inspectSource(session, flags, name),
    )
  }
  const [only] = found
  session.answer(
    found.length === 1 && only !== undefined ? jsonOf(only) : found.map(jsonOf),
    names.length > 1 && given.verbose !== true
      ? describeAll(session.style, found)
      : found.flatMap(({ file, judged, inside }, index) => [
          ...(index === 0 ? [] : ['']),
          ...describeInspection(session.style, { file, judged, inside }, given.as),
          ...describeInside(inside),
        ]),
  )
  return found.every((one) => judgeAll(one).safe) ? exitCodes.done : exitCodes.refused
}

/** A word as it is, or the files that are in a folder, in the order of their names. */
async function filesOf(session: Session, name: string): Promise<string[]> {
  const word = await readSourceWord(name, 'file')
  const folder = word.kind === 'file' ? word.path : undefined
  const found = folder === undefined ? undefined : await stat(session.resolve(folder)).catch(() => undefined)
  if (folder === undefined || found?.isDirectory() !== true) return [name]
  const whole = session.resolve(folder)
  const entries = await readdir(whole, { withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(whole, entry.name))
  if (files.length === 0) throw new UsageError(`${printable(folder)} is a folder without files.`)
  return files.toSorted()
}

/** What was inspected, and what came of it. */
interface Inspected {
  readonly file: string
  readonly judged: JudgedFile
  /** Absent where it is wrapped in nothing. */
  readonly inside?: JudgedInside | undefined
}

/** What an envelope holds, each disk judged by itself. */
interface JudgedInside extends Pick<InsideReport, 'opened' | 'problem' | 'unseen'> {
  readonly disks: readonly {
    readonly name: string | undefined
    readonly isWhole: boolean
    readonly judged: JudgedFile | undefined
  }[]
}

/**
 * The verdict on what would be opened: of what a transfer takes out of its envelopes, that on each disk inside. It is no
 * disk image by itself, and counts as safe where every disk was seen and is.
 */
function judgeAll({ judged, inside }: Inspected): JudgedFile {
  if (inside === undefined || judged.verdict !== 'not-a-disk-image') return judged
  const { disks, problem, unseen } = inside
  const isUnsafe = disks.some((disk) => disk.judged?.verdict === 'not-safe')
  const isOpened = problem === undefined && unseen.length === 0 && disks.length > 0
  const safe = isOpened && disks.every((disk) => disk.judged?.safe === true)
  const matched = disks.flatMap((disk) => disk.judged?.matches ?? [])
  const matches = matched.find(({ ok }) => !ok) ?? matched[0] ?? judged.matches
  return {
    ...judged,
    safe,
    verdict: safe ? 'safe' : isUnsafe ? 'not-safe' : judged.verdict,
    matches: isOpened ? matches : judged.matches,
    checks: safe ? judged.checks.filter(({ name }) => name !== 'disk-image') : judged.checks,
  }
}

function jsonOf(inspected: Inspected): object {
  const { file, inside } = inspected
  const judged = judgeAll(inspected)
  if (inside === undefined) return { file, ...jsonOfDisk(judged) }
  const { opened, problem = null, disks, unseen } = inside
  const found = disks.map(({ name = null, isWhole, judged: disk }) => ({
    disk: name,
    isWhole,
    ...(disk === undefined ? {} : jsonOfDisk(disk)),
  }))
  return { file, ...jsonOfDisk(judged), inside: { opened, problem, unseen, disks: found } }
}

function jsonOfDisk({ inspection, safe, verdict, matches, checks }: JudgedFile): object {
  return {
    format: inspection.format,
    virtualSizeBytes: inspection.virtualSizeBytes ?? null,
    safe,
    verdict,
    ...(matches === undefined ? {} : { matches: matches.ok }),
    checks: checks.map((check) => ({ ...check, reason: check.reason ?? null })),
  }
}

/** A file is read where it is looked at only. */
async function inspectFile(session: Session, flags: InspectFlags, name: string): Promise<Inspected> {
  await using source = await holdOperand(session, name)
  const judged = await judge(session, source, flags)
  if (judged.verdict !== 'not-a-disk-image') return { file: source.name, judged }
  const imageUtils = await session.imageUtils()
  await using opened = await imageUtils.openSource(source.path, { bare: 'file' })
  const named = { ...opened, stored: { ...opened.stored, name: source.name } }
  return { file: source.name, judged, inside: await lookInside(imageUtils, named, flags.as) }
}

/** What comes from elsewhere: read where it is looked at, where it can be, and otherwise from its start to its end. */
async function inspectSource(session: Session, flags: InspectFlags, name: string): Promise<Inspected> {
  if (isStandardInput(name) && flags.record !== undefined) resolveOperand(session, '-')
  if (flags.record !== undefined) throw new UsageError('Only a regular file can be recorded.')
  const imageUtils = await session.imageUtils()
  await using source = await openWord(session, imageUtils, name, { bare: 'file' })
  const { checksums, throttle } = readManner(flags)
  const { stored } = source
  const { signal } = session.io
  const isRead = checksums === undefined && throttle === undefined && stored.sizeBytes !== undefined
  if (isRead && stored.readRange !== undefined) {
    const read = stored.readRange.bind(stored)
    const reader = {
      size: stored.sizeBytes,
      read: (offset: number, length: number) => read(offset, length, { signal }),
    }
    const judged = await judgeReader(reader, flags.as)
    return { file: source.name, judged, inside: await lookInside(imageUtils, source, flags.as) }
  }
  const { createInspector } = await import('@disk-image/image-utils/inspector')
  const { RateLimiter } = await import('@disk-image/io')
  const inspector = createInspector()
  const limiter = throttle && new RateLimiter(throttle.rateBytesPerSecond, signal)
  await using inside = imageUtils.inspectInside(source)
  const write = async (chunk: Uint8Array): Promise<void> => {
    await limiter?.take(chunk.length)
    inspector.write(chunk)
    await inside?.write(chunk)
  }
  await stored.download({ write }, { ...session.call, checksums, verify: checksums && 'none' })
  const judged = await judgeInspection(inspector.end(), flags.as)
  return { file: source.name, judged, inside: inside && (await judgeInside(inside, true, flags.as)) }
}

/** Reads no more than is looked at. */
async function lookInside(
  imageUtils: ImageUtils,
  source: DescribedSource,
  claimed: string | undefined,
): Promise<JudgedInside | undefined> {
  const { stored } = source
  const { sizeBytes = 0 } = stored
  await using inside = imageUtils.inspectInside(source)
  if (inside === undefined || stored.readRange === undefined) return undefined
  let at = 0
  while (at < sizeBytes && !inside.isDone) {
    at += inside.passOver()
    const chunk = await stored.readRange(at, Math.min(1024 * 1024, sizeBytes - at))
    if (chunk.length === 0) break
    await inside.write(chunk)
    at += chunk.length
  }
  // Awaited here: it is closed when this returns.
  return await judgeInside(inside, at === sizeBytes, claimed)
}

async function judgeInside(
  inside: InsideInspector,
  isWhole: boolean,
  claimed: string | undefined,
): Promise<JudgedInside> {
  const { disks, ...report } = await inside.end(isWhole)
  const judged = disks.map(async ({ inspection, ...disk }) => ({
    ...disk,
    judged: inspection && (await judgeInspection(inspection, claimed)),
  }))
  return { ...report, disks: await Promise.all(judged) }
}

async function judge(session: Session, source: HeldFile, flags: InspectFlags): Promise<JudgedFile> {
  if (flags.record === undefined) return judgeFile(source.path, flags.as)
  if (source.kind !== 'file') throw new UsageError('Only a regular file can be recorded.')
  const target = session.resolve(flags.record)
  await using recorder = await recordCase(source.path, target)
  const judged = await judgeReader(recorder.reader, flags.as)
  session.remark(
    `${target} has the ${recorder.keptBytes} bytes that were read; look at them before you pass it on`,
  )
  return judged
}

/** What `inspect` says of several: a line for each. */
function describeAll(style: Style, all: readonly Inspected[]): string[] {
  const rows = all.map((one) => {
    const { inspection, verdict, checks, matches } = judgeAll(one)
    const { inside } = one
    const disks = inside?.disks.map(({ judged }) => judged?.inspection) ?? []
    const [only] = disks.length === 1 ? disks : []
    const { virtualSizeBytes } = only ?? inspection
    const format = [...(inside?.opened ?? []), only?.format ?? (inside && `${disks.length} disks`)]
    const problem = inside?.problem ?? checks.find(({ ok }) => !ok)
    return [
      describeVerdict(style, verdict),
      one.file,
      inside === undefined ? inspection.format : format.join(' of '),
      virtualSizeBytes === undefined ? '' : formatBytes(virtualSizeBytes),
      problem?.reason ?? matches?.reason ?? '',
    ]
  })
  const verdicts = Map.groupBy(all, (one) => judgeAll(one).verdict.replaceAll('-', ' '))
  const counts = [...verdicts].map(([verdict, some]) => `${some.length} ${verdict}`)
  const header = ['VERDICT', 'FILE', 'FORMAT', 'DISK', 'REASON'].map((text) => ({ text, paint: style.bold }))
  return [...alignRows([header, ...rows]), `${all.length} files: ${counts.join(', ')}`]
}

/** What `inspect` says to a person. */
function describeInspection(style: Style, inspected: Inspected, claimed: string | undefined): string[] {
  const { file, inside } = inspected
  const { inspection, checks, verdict, matches, safe } = judgeAll(inspected)
  const { format, fileSizeBytes, contentName, matches: signatures } = inspection
  const opened = inside !== undefined && safe ? inside : undefined
  const only = opened?.disks.length === 1 ? opened.disks[0]?.judged?.inspection : undefined
  const virtualSizeBytes = (only ?? inspection).virtualSizeBytes
  const content = only?.format ?? (opened && `${opened.disks.length} disks`)
  const name = opened === undefined ? format : [...opened.opened, content].join(' of ')
  const others = signatures.filter((name) => name !== format && name !== contentName)
  return [
    style.bold(printable(file)),
    ...alignFields(
      [
        ['Format', [name, ...describeDetails((only ?? inspection).details)].join(', ')],
        [
          'Disk',
          opened !== undefined && only === undefined
            ? undefined
            : virtualSizeBytes === undefined
              ? 'not said by the header'
              : exactBytes(virtualSizeBytes),
        ],
        ['File', fileSizeBytes === undefined ? undefined : exactBytes(fileSizeBytes)],
        ['Holds', contentName],
        ['Also found', others.length === 0 ? undefined : others.join(', ')],
        ...describeReferences(inspection),
        ['Verdict', describeVerdict(style, verdict)],
        [
          'Claimed',
          matches === undefined
            ? undefined
            : matches.ok
              ? { text: `${claimed}, and that is what it is`, paint: style.good }
              : { text: `${claimed}, which it is not`, paint: style.bad },
        ],
      ],
      '  ',
    ),
    ...(opened === undefined ? describeChecks(style, checks) : []),
  ]
}

function describeInside(inside: JudgedInside | undefined): string[] {
  if (inside === undefined) return []
  const { opened, disks, problem, unseen } = inside
  return alignFields(
    [
      ['Opened', opened.join(', ')],
      ...disks.map(({ name, isWhole, judged }): [string, string] => {
        const { format, virtualSizeBytes } = judged?.inspection ?? {}
        const words = [
          format ?? 'too little of it was seen',
          virtualSizeBytes === undefined ? '' : exactBytes(virtualSizeBytes),
          judged?.verdict.replaceAll('-', ' ') ?? '',
          isWhole ? '' : 'by its head',
        ].filter((word) => word !== '')
        return ['Inside', `${name === undefined ? '' : `${printable(name)}: `}${words.join(', ')}`]
      }),
      ...unseen.map((name): [string, string] => ['Not seen', printable(name)]),
      ['Not opened', problem?.reason],
    ],
    '  ',
  )
}

function describeVerdict(style: Style, verdict: JudgedFile['verdict']): { text: string; paint: Paint } {
  if (verdict === 'safe') return { text: 'safe', paint: style.good }
  if (verdict === 'not-safe') return { text: 'not safe', paint: style.bad }
  return { text: 'not a disk image', paint: style.note }
}

function describeDetails(details: ImageDetails): string[] {
  const { version, subformat, createType, clusterSizeBytes, compressionType, encryption, cipher } = details
  return [
    version === undefined ? '' : `version ${version}`,
    subformat ?? createType ?? '',
    clusterSizeBytes === undefined ? '' : `clusters of ${formatBytes(clusterSizeBytes)}`,
    compressionType ?? '',
    details.extendedL2 === true ? 'extended L2' : '',
    encryption === undefined ? '' : `encrypted (${encryption})`,
    cipher ?? '',
    (details.internalSnapshots ?? 0) > 0 ? `${details.internalSnapshots} internal snapshots` : '',
    (details.bitmaps ?? 0) > 0 ? `${details.bitmaps} bitmaps` : '',
  ].filter((text) => text !== '')
}

function describeReferences({ details }: InspectionResult): [string, string | undefined][] {
  const { backingFile, backingFileFormat, dataFile, extents } = details
  const backingFormat = backingFileFormat === undefined ? '' : ` (${backingFileFormat})`
  return [
    ['Backing file', backingFile === undefined ? undefined : `${backingFile}${backingFormat}`],
    ['Data file', dataFile],
    ['Extents', extents?.join(', ')],
  ]
}

function describeChecks(style: Style, checks: readonly Check[]): string[] {
  if (checks.length === 0) return ['  No check applies to it: raw bytes may be anything.']
  const lines = alignRows(
    checks.map(({ name, ok, reason }) => [
      ok ? { text: '✓', paint: style.good } : { text: '✗', paint: style.bad },
      name,
      reason ?? '',
    ]),
    '  ',
  )
  return checks.flatMap(({ ok, found, offset, accepted, reference }, index) => [
    lines[index] ?? '',
    ...(ok
      ? []
      : alignFields(
          [
            ['found', found],
            ['at', offset === undefined ? undefined : `byte ${offset}`],
            ['accepted', accepted],
            ['see', reference],
          ],
          '      ',
        )),
  ])
}

const sectorBytes = 512

/** A case that is being recorded. */
interface CaseRecorder extends AsyncDisposable {
  /** Reads the file, and keeps what was read. */
  readonly reader: RandomAccessReader
  /** Bytes kept so far, without sectors of zeroes. */
  readonly keptBytes: number
}

/**
 * Records what the inspector reads of an image: a file of the same size with holes for everything else. The
 * inspector says the same of it, and it has nothing of the disk but the first MiB and the tables.
 *
 * @param path an image, a regular file
 * @param target a new file, mode 0600
 */
async function recordCase(path: string, target: string): Promise<CaseRecorder> {
  const source = await open(path)
  let record: FileHandle | undefined
  try {
    const { size } = await source.stat()
    record = await open(target, 'wx', 0o600)
    await record.truncate(size)
    return new SparseRecorder(source, record, size)
  } catch (error) {
    await source.close()
    await record?.close()
    throw error
  }
}

class SparseRecorder implements CaseRecorder {
  readonly #source: FileHandle
  readonly #record: FileHandle
  readonly #size: number
  #keptBytes = 0

  constructor(source: FileHandle, record: FileHandle, size: number) {
    this.#source = source
    this.#record = record
    this.#size = size
  }

  get reader(): RandomAccessReader {
    return { size: this.#size, read: (offset, length) => this.#read(offset, length) }
  }

  get keptBytes(): number {
    return this.#keptBytes
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(Math.min(length, Math.max(0, this.#size - offset)))
    const bytes = buffer.subarray(0, await readFully(this.#source, buffer, offset))
    for (let start = 0; start < bytes.length; start += sectorBytes) {
      const sector = bytes.subarray(start, start + sectorBytes)
      if (sector.every((byte) => byte === 0)) continue
      await writeFully(this.#record, sector, offset + start)
      this.#keptBytes += sector.length
    }
    return bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.close()
    await this.#record.close()
  }
}
