import type { VhdInfo, VhdIssue } from '@disk-image/vhd'
import { formatBytes, printable } from '@disk-image/core'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { Style } from '../output/style.ts'
import { alignFields } from '../output/table.ts'
import { exactBytes } from '../output/units.ts'
import type { Session } from '../session.ts'
import { resolveOperand } from './file-source.ts'
import { operand } from './values.ts'

/** Flags of `vhd repair`. */
export interface RepairFlags {
  readonly dryRun?: boolean
  readonly assignUuid?: boolean
}

/** `disk-image vhd info FILE` */
export async function showVhdInfo(
  session: Session,
  _flags: object,
  operands: readonly string[],
): Promise<void> {
  const { getVhdInfo } = await import('@disk-image/vhd')
  const info = await getVhdInfo(resolveOperand(session, operand(operands, 0)))
  session.answer(info, describeInfo(session.style, info), 'all')
}

function describeInfo(style: Style, info: VhdInfo): string[] {
  const { blocks, parent, geometry } = info
  const { cylinders, heads, sectorsPerTrack } = geometry
  return [
    style.bold(printable(info.path ?? '')),
    ...alignFields(
      [
        ['Type', info.type],
        ['Disk', exactBytes(info.currentSizeBytes)],
        [
          'Made with',
          info.originalSizeBytes === info.currentSizeBytes ? undefined : exactBytes(info.originalSizeBytes),
        ],
        ['Geometry', `${cylinders}/${heads}/${sectorsPerTrack}, ${exactBytes(info.geometryBytes)}`],
        ['File', exactBytes(info.fileSizeBytes)],
        ['Uuid', info.uniqueId],
        ['Created', `${dateText(info.createdAt)} by ${info.creator} ${info.creatorVersion}`],
        ['Hidden', info.hidden ? 'yes' : undefined],
        ['Saved state', info.savedState ? { text: 'yes', paint: style.note } : undefined],
        [
          'Footer',
          info.footer === 'end' ? undefined : { text: `read at the ${info.footer}`, paint: style.note },
        ],
        [
          'Blocks',
          blocks &&
            `${blocks.allocated} of ${blocks.total} allocated, ${formatBytes(blocks.blockSizeBytes)} each`,
        ],
        ['Batmap', blocks && (blocks.batmap ? 'yes' : 'no')],
        ['Parent', parent && { text: parent.name, paint: style.bold }],
        ['Parent uuid', parent?.uniqueId],
        ['Parent time', parent && dateText(parent.modifiedAt)],
      ],
      '  ',
    ),
  ]
}

function dateText(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'no date' : date.toISOString()
}

/** `disk-image vhd check FILE` */
export async function checkVhdFile(
  session: Session,
  flags: { readonly parents: boolean },
  operands: readonly string[],
): Promise<ExitCode> {
  const { examineVhd } = await import('@disk-image/vhd')
  const file = resolveOperand(session, operand(operands, 0))
  const { ok, issues, info } = await examineVhd(file, { ...session.call, parents: flags.parents })
  const verdict = ok ? session.style.good('nothing is broken') : session.style.bad('broken')
  session.answer({ file, ok, issues, info: info ?? null }, [
    `${session.style.bold(printable(file))}: ${verdict}`,
    ...issues.flatMap((issue) => describeIssue(session.style, issue)),
  ])
  return ok ? exitCodes.done : exitCodes.refused
}

function describeIssue(
  style: Style,
  { severity, rule, reason, found, offset, accepted }: VhdIssue,
): string[] {
  const paint = severity === 'warning' ? style.note : style.bad
  return [
    `  ${paint(severity)} ${printable(rule)}: ${printable(reason)}`,
    ...alignFields(
      [
        ['found', found],
        ['at', offset === undefined ? undefined : `byte ${offset}`],
        ['accepted', accepted],
      ],
      '    ',
    ),
  ]
}

/** `disk-image vhd repair FILE`: 3 where something is left that makes the disk doubtful. */
export async function repairVhdFile(
  session: Session,
  flags: RepairFlags,
  operands: readonly string[],
): Promise<ExitCode> {
  const { repairVhd } = await import('@disk-image/vhd')
  const file = resolveOperand(session, operand(operands, 0))
  const { repairs, remaining } = await repairVhd(file, { ...flags, signal: session.io.signal })
  const did = flags.dryRun === true ? 'would' : 'did'
  const serious = remaining.filter(({ severity }) => severity !== 'warning')
  session.answer({ file, dryRun: flags.dryRun === true, repairs, remaining }, [
    ...(repairs.length === 0 ? ['There is nothing to repair.'] : []),
    ...repairs.map(({ rule, action }) => `${did}: ${printable(action)} (${rule})`),
    ...remaining.flatMap((issue) => describeIssue(session.style, issue)),
  ])
  return serious.length === 0 ? exitCodes.done : exitCodes.refused
}
