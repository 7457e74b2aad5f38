import type { Command } from 'commander'
import type { HeldFile } from '@disk-image/host'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { formatName, operand } from './values.ts'
import { holdOperand } from './file-source.ts'
import { describeInspection } from './describe-inspection.ts'
import { type JudgedFile, judgeFile } from './judge-file.ts'
import { recordCase } from './record-case.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import type { Perform } from './perform.ts'

interface InspectFlags {
  readonly as?: string
  readonly record?: string
}

const notes = `
Exits with 3 where the file is not safe to open, is not what --as says, or is no disk image but an archive or\ncompressed data: then it is no danger, and the reason says how to unpack it.

Examples:
  $ disk-image inspect ubuntu.qcow2
  $ disk-image inspect download.img --as raw
  $ disk-image inspect ubuntu.qcow2 --json | jq .virtualSizeBytes`

/** `disk-image inspect`: what the bytes of a file are. */
export function addInspectCommand(program: Command, perform: Perform): void {
  program
    .command('inspect')
    .summary('what a file is, and whether it is safe')
    .description(
      'Says what the bytes of a file are, how large the disk inside is, and how every safety check ends.',
    )
    .argument('<file>', 'a file or block device')
    .option('--as <format>', "what it is claimed to be: Glance's disk_format", formatName('--as'))
    .option('--record <case>', 'a new file with only what was read of the image, to report a fault with')
    .addHelpText('after', notes)
    .action(perform<InspectFlags>(inspect))
}

async function inspect(
  session: Session,
  flags: InspectFlags & GlobalFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  await using source = await holdOperand(session, operand(operands, 0))
  const file = source.name
  const judged = await judge(session, source, flags)
  const { inspection, safe, verdict, matches, checks } = judged
  session.answer(
    {
      file,
      format: inspection.format,
      virtualSizeBytes: inspection.virtualSizeBytes ?? null,
      safe,
      verdict,
      ...(matches === undefined ? {} : { matches: matches.ok }),
      checks: checks.map((check) => ({ ...check, reason: check.reason ?? null })),
    },
    describeInspection(session.style, file, judged, flags.as),
  )
  return safe ? exitCodes.done : exitCodes.refused
}

async function judge(session: Session, source: HeldFile, flags: InspectFlags): Promise<JudgedFile> {
  if (flags.record === undefined) return judgeFile(source.path, flags.as)
  if (source.kind !== 'file') throw new UsageError('Only a regular file can be recorded.')
  const target = session.resolve(flags.record)
  await using recorder = await recordCase(source.path, target)
  const judged = await judgeFile(source.path, flags.as, recorder.reader)
  session.remark(
    `${target} has the ${recorder.keptBytes} bytes that were read; look at them before you pass it on`,
  )
  return judged
}
