import type { Verdict } from '@disk-image/core'

/** What a rule says that has nothing against an image. */
export const accepted: Verdict = Object.freeze({ ok: true })
