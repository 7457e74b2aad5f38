import type { UrlOptions } from '@disk-image/sources'

type Limit = 'connect' | 'headers' | 'call' | 'idle' | 'stall' | 'store'

/** How often and how long it is tried, for every client of HTTP. */
export type Patience = Pick<UrlOptions, 'retries' | `${Limit}TimeoutMs`>

/** @param flags milliseconds without an answer or a byte; the other limits keep the proportion of the defaults */
export function patienceOf({
  retries,
  timeout: ms,
}: {
  readonly retries?: number
  readonly timeout?: number
}): Patience {
  return {
    ...(retries === undefined ? {} : { retries }),
    ...(ms === undefined
      ? {}
      : {
          connectTimeoutMs: ms / 3,
          headersTimeoutMs: ms,
          callTimeoutMs: ms * 2,
          idleTimeoutMs: ms,
          stallTimeoutMs: ms * 2.5,
          storeTimeoutMs: ms * 2,
        }),
  }
}
