import { setTimeout as timeout } from 'node:timers/promises'

/** Waits. After an abort it rejects with the signal's reason. */
export async function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  try {
    await timeout(milliseconds, undefined, { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
