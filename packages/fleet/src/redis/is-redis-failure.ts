const names = new Set(['MaxRetriesPerRequestError', 'AbortError', 'ClusterAllFailedError'])
const messages = new Set(['Command timed out', 'Connection is closed.', 'Socket closed unexpectedly'])

/** Whether an error says that Redis could not be asked, rather than anything of the job. */
export function isRedisFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // An abort of ours has the same name as ioredis's; its is not a DOMException.
  return messages.has(error.message) || (names.has(error.name) && !(error instanceof DOMException))
}
