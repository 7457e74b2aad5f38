/** Why a rule refuses, for a program and for a person. */
export interface Refusal {
  /** Stable name of the rule, in kebab case: `qcow2-backing-file`, `virtual-size`. */
  readonly rule: string
  /** One sentence for a person. */
  readonly reason: string
  /** What was found, printable, never longer than a line. */
  readonly found?: string | undefined
  /** Byte offset into the image at which it was found. */
  readonly offset?: number | undefined
  /** What would be accepted instead. */
  readonly accepted?: string | undefined
  /** The published vulnerability or bug behind the rule, for example `CVE-2024-32498`. */
  readonly reference?: string | undefined
}

/** The answer of a `judge…` function. */
export type Verdict = { readonly ok: true } | ({ readonly ok: false } & Refusal)
