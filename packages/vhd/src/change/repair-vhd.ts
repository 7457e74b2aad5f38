import {
  disagreements,
  readVhdLayout,
  roundUp,
  type VhdIssue,
  type VhdLayout,
  withUniqueId,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { type FileTarget, openTarget } from '../files/vhd-file.ts'
import { extendFile, finishFile, moveTable, writeFooters } from '../merge/grow.ts'

/** Options of {@link repairVhd}. */
export interface RepairOptions {
  /** Only says what would be done. @default false */
  readonly dryRun?: boolean | undefined
  /** Gives a disk without a uuid one. Children that were made on it must be given their parent again. @default false */
  readonly assignUuid?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** One thing that was repaired, or would be. */
export interface VhdRepair {
  /** The rule that was broken: {@link VhdIssue.rule}. */
  readonly rule: string
  /** What is done about it. */
  readonly action: string
  readonly offset?: number | undefined
}

/** What was done, and what is left. */
export interface RepairReport {
  readonly repairs: readonly VhdRepair[]
  /** What can't be repaired, or is no damage. */
  readonly remaining: readonly VhdIssue[]
}

const footerRules = new Set(['footer-end', 'footer-511', ...disagreements])
const tableRules = new Set(['batmap', 'block-on-batmap', 'block-on-spare-table'])

/**
 * Repairs what has one right answer: a footer that is lost at one end is taken from the other, what is behind
 * the last block is cut off, a damaged batmap is made anew. Every step is reported. Lost or doubtful data is
 * never repaired: a file with such an issue is refused as everywhere.
 *
 * @throws {VhdError} where the content can't be read for certain
 */
export async function repairVhd(
  path: string,
  { dryRun = false, assignUuid = false, signal }: RepairOptions = {},
): Promise<RepairReport> {
  signal?.throwIfAborted()
  const target = await openTarget(path)
  try {
    const layout = await readVhdLayout(target, true)
    const repairs = planRepairs(layout, assignUuid)
    if (!dryRun && repairs.length > 0) await applyRepairs(target, layout, repairs)
    const after = dryRun ? layout : await readVhdLayout({ ...target, size: await target.currentSize() }, true)
    const planned = new Set(repairs.map(({ rule }) => rule))
    return { repairs, remaining: after.problems.filter(({ rule }) => !dryRun || !planned.has(rule)) }
  } finally {
    await target.close()
  }
}

function planRepairs({ problems, found, dynamic }: VhdLayout, assignUuid: boolean): VhdRepair[] {
  const actions: Readonly<Record<string, string>> = {
    'footer-end':
      'cut off what is behind the last block and write the footer there, from its copy at the start',
    'footer-damaged': 'write the footer at the end from its copy at the start',
    'footer-511': 'write the footer with its 512th byte',
    'footer-copy': 'write the copy at the start from the footer at the end',
    'footers-differ': 'write the copy at the start from the footer at the end, which is the one that is read',
    batmap: 'make a new table and batmap at the end',
    'block-on-batmap': 'make a new table and batmap at the end',
    'block-on-spare-table': 'make a new table at the end',
  }
  const repairs: VhdRepair[] = []
  for (const { rule, offset } of problems) {
    const action = actions[rule]
    const known = repairs.some((repair) => repair.rule === rule)
    if (action !== undefined && !known && (dynamic !== undefined || rule === 'footer-511')) {
      repairs.push({ rule, action, offset })
    }
  }
  if (assignUuid && found.footer.uniqueId === zeroUuid) {
    repairs.push({ rule: 'zero-uuid', action: 'give it a random uuid', offset: 68 })
  }
  return repairs
}

async function applyRepairs(
  target: FileTarget,
  layout: VhdLayout,
  repairs: readonly VhdRepair[],
): Promise<void> {
  const wants = (rules: ReadonlySet<string>): boolean => repairs.some(({ rule }) => rules.has(rule))
  const { found, dynamic } = layout
  const isNamed = wants(new Set(['zero-uuid']))
  const footer = isNamed ? withUniqueId(found.bytes, crypto.randomUUID()) : found.bytes
  if (dynamic === undefined) {
    await finishFile(target, footer, found.footer.currentSizeBytes)
    return
  }
  // The last block may be cut short by the footer.
  if (wants(tableRules)) await extendFile(target, found.bytes, roundUp(dynamic.endOfData, 512) + 512)
  const end = wants(tableRules)
    ? await moveTable(target, layout, dynamic, Math.max(1, dynamic.blockCount))
    : dynamic.endOfData
  if (isNamed || wants(footerRules) || wants(tableRules)) await writeFooters(target, footer, end)
}
