import type { Refusal } from '@disk-image/core'

/**
 * How bad a violation is.
 *
 * - `fatal`: the content can't be read for certain; every operation refuses
 * - `error`: an invariant is broken, but the content is certain; `repairVhd` may help
 * - `warning`: unusual, or a trap for other programs
 */
export type VhdIssueSeverity = 'fatal' | 'error' | 'warning'

/** One violation of the format, with the offset at which it is. */
export interface VhdIssue extends Refusal {
  readonly severity: VhdIssueSeverity
}
