/** The command line itself is wrong. The message says what, and what would be right. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError'
}
