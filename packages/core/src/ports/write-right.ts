/** The right to write a destination, which ends by itself, like a lease: a process may be stopped meanwhile. */
export interface WriteRight {
  /**
   * One number in memory that the writing threads share: the moment from which nothing may be written without
   * `confirm`, in milliseconds since the machine's start, including those in which it was suspended.
   */
  readonly until: BigInt64Array<SharedArrayBuffer>
  /**
   * Asks whoever gave the right. Resolves where writing may go on.
   *
   * @throws where the destination may be another's
   */
  confirm(): Promise<void>
}
