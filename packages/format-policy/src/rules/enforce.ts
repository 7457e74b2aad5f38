import { ImageUnacceptableError, type Verdict } from '@disk-image/core'

/** Turns a verdict into the error that `check…` functions throw. An image without a name is called `None`. */
export function enforce(imageId: string | null | undefined, verdict: Verdict): void {
  if (verdict.ok) return
  const { ok: _, ...refusal } = verdict
  throw new ImageUnacceptableError({ imageId: imageId ?? 'None', ...refusal })
}

/** What a rule says that has nothing against an image. */
export const accepted: Verdict = Object.freeze({ ok: true })
