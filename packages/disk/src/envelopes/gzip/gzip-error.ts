/** Why bytes are no gzip that can be taken. */
export type GzipProblem = 'not-gzip' | 'truncated' | 'damaged' | 'members' | 'trailing'

/** What is wrong with a gzip, and where; those who know what the bytes are for turn it into their own refusal. */
export class GzipError extends Error {
  readonly problem: GzipProblem
  /** Byte of the compressed data. */
  readonly offset: number
  readonly found: string | undefined
  readonly accepted: string | undefined

  constructor(init: {
    readonly problem: GzipProblem
    readonly reason: string
    readonly offset: number
    readonly found?: string | undefined
    readonly accepted?: string | undefined
    readonly cause?: unknown
  }) {
    super(init.reason, { cause: init.cause })
    this.name = 'GzipError'
    this.problem = init.problem
    this.offset = init.offset
    this.found = init.found
    this.accepted = init.accepted
  }
}
