import { printable } from '@disk-image/disk/layouts'
import type { LuksPayloadNotSeen } from './result.ts'

/** What a problem has to say beyond its outcome. */
export type ProblemInit = Omit<LuksPayloadNotSeen, 'outcome' | 'safe'>

/** Why a container's inside was not looked at. It never leaves this folder: it becomes a result. */
export class LuksProblem extends Error {
  readonly result: LuksPayloadNotSeen

  constructor(outcome: LuksPayloadNotSeen['outcome'], init: ProblemInit) {
    super(init.reason)
    this.name = 'LuksProblem'
    const found = init.found === undefined ? undefined : printable(init.found)
    this.result = { outcome, safe: false, ...init, found }
  }
}

/** A header that says what no tool writes. */
export function malformed(reason: string, more: Omit<ProblemInit, 'reason'> = {}): LuksProblem {
  return new LuksProblem('malformed', { reason, ...more })
}
