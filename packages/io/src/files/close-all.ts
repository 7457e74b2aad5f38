/** What is open. */
interface Closable {
  close(): Promise<unknown>
}

/**
 * Closes every one, also where one can't be closed.
 *
 * @throws what the first failed with, once all were tried
 */
export async function closeAll(...open: readonly (Closable | undefined)[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  for (const one of open) {
    try {
      await one?.close()
    } catch (error) {
      failure ??= { error }
    }
  }
  if (failure !== undefined) throw failure.error
}
