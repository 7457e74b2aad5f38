/** Rejects with the signal's reason as soon as it is aborted, whatever becomes of the promise. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    // The signal's reason is passed on as it is.
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort))
      .catch(() => undefined)
    return undefined
  })
}
