import type { RandomAccessReader, Refusal } from '@disk-image/core'
import type { Check, InspectionResult } from '@disk-image/image-utils/inspector'

/** What `inspect` finds out. */
export interface JudgedFile {
  readonly inspection: InspectionResult
  /** Every check, those of the policy behind the inspector's. */
  readonly checks: readonly Check[]
  /** Whether a tool may open it as what it is, or is claimed to be. */
  readonly safe: boolean
  readonly verdict: InspectionResult['verdict']
  /** Absent where nothing was claimed. */
  readonly matches: { readonly ok: boolean; readonly reason: string | undefined } | undefined
}

/** Rules that say nothing about the bytes, but about the claim. */
const claimRule = 'format-mismatch'

/** Inspects a file, and judges it by the rules for every image. */
export async function judgeFile(path: string, claimed: string | undefined): Promise<JudgedFile> {
  const { inspectFile } = await import('@disk-image/image-utils/inspector')
  return judgeInspection(await inspectFile(path), claimed)
}

/** The same of what is read through a reader. */
export async function judgeReader(
  reader: RandomAccessReader,
  claimed: string | undefined,
): Promise<JudgedFile> {
  const { inspect } = await import('@disk-image/image-utils/inspector')
  return judgeInspection(await inspect(reader), claimed)
}

/** The same of what is inspected. */
export async function judgeInspection(
  inspection: InspectionResult,
  claimed: string | undefined,
): Promise<JudgedFile> {
  const { createFormatPolicy } = await import('@disk-image/image-utils/inspector')
  const refusals = createFormatPolicy()
    .judgeAll({ claimedFormat: claimed, inspection })
    .flatMap((verdict) => (verdict.ok ? [] : [verdict]))
  const mismatch = refusals.find(({ rule }) => rule === claimRule)
  const verdict = verdictOf(inspection, refusals)
  return {
    inspection,
    checks: mergeChecks(inspection, refusals),
    safe: verdict === 'safe',
    verdict,
    matches:
      claimed === undefined
        ? undefined
        : { ok: mismatch === undefined && verdict !== 'not-a-disk-image', reason: mismatch?.reason },
  }
}

/** An archive is no danger as what it is; as the disk that it is not, nothing is safe. */
function verdictOf(inspection: InspectionResult, refusals: readonly Refusal[]): InspectionResult['verdict'] {
  if (refusals.length === 0) return 'safe'
  const archive = refusals.every(({ rule }) => rule === 'disk-image')
  return archive ? inspection.verdict : 'not-safe'
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
