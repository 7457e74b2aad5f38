import type { CallOptions } from '@disk-image/core'

/** What every format is encoded with. A format's own options have its name. */
export interface EncodeOptions extends CallOptions {
  /** In the format's terms. @default what the format is mostly used for */
  readonly subformat?: string | undefined
}
