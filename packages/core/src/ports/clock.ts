/** The time, for durations, timeouts and tokens that end. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number
  /** Milliseconds since 1970-01-01 UTC. */
  wallMs(): number
}
