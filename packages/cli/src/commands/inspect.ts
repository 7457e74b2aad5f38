import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Command } from 'commander'
import type { HeldFile } from '@disk-image/host'
import { printable } from '@disk-image/core'
import type { DescribedSource, ImageUtils, InsideInspector } from '@disk-image/image-utils'
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
import {
  describeAll,
  describeInside,
  describeInspection,
  type Inspected,
  judgeAll,
  type JudgedInside,
} from './inspect-report.ts'
import type { Perform } from './perform.ts'
import { recordCase } from './record-case.ts'

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
