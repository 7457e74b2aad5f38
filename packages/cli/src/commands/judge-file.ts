import type { RandomAccessReader, Refusal } from '@disk-image/core'
import type { Check, InspectionResult } from '@disk-image/image-utils/inspector'

/** What `inspect` finds out. */
export interface JudgedFile {
  readonly inspection: InspectionResult
  /** Every check, those of the policy behind the inspector's. */
  readonly checks: readonly Check[]
  /** Whether a tool may open it. */
  readonly safe: boolean
  /** Absent where nothing was claimed. */
  readonly matches: { readonly ok: boolean; readonly reason: string | undefined } | undefined
}

/** Rules that say nothing about the bytes, but about the claim. */
const claimRule = 'format-mismatch'

/** Inspects a file, through its own reader where one is given, and judges it by the rules for every image. */
export async function judgeFile(
  path: string,
  claimed: string | undefined,
  reader?: RandomAccessReader,
): Promise<JudgedFile> {
  const { createFormatPolicy, inspect, inspectFile } = await import('@disk-image/image-utils/inspector')
  const inspection = reader === undefined ? await inspectFile(path) : await inspect(reader)
  const refusals = createFormatPolicy()
    .judgeAll({ claimedFormat: claimed, inspection })
    .flatMap((verdict) => (verdict.ok ? [] : [verdict]))
  const mismatch = refusals.find(({ rule }) => rule === claimRule)
  const others = refusals.filter(({ rule }) => rule !== claimRule)
  return {
    inspection,
    checks: mergeChecks(inspection, others),
    safe: others.length === 0,
    matches: claimed === undefined ? undefined : { ok: mismatch === undefined, reason: mismatch?.reason },
  }
}

/** The inspector's checks; what only the policy refuses is added as a check of its own. */
function mergeChecks({ checks, format }: InspectionResult, refusals: readonly Refusal[]): Check[] {
  const known = new Set(checks.flatMap(({ name, ok }) => (ok ? [] : [name, `${format}-${name}`])))
  const added = refusals.filter(({ rule }) => !known.has(rule))
  const overruled = new Set(added.map(({ rule }) => rule))
  return [
    ...checks.filter(({ name, ok }) => !(ok && (overruled.has(name) || overruled.has(`${format}-${name}`)))),
    ...added.map(({ rule, ...refusal }) => ({ name: rule, ok: false, ...refusal })),
  ]
}
