/**
 * How long a service asked to wait, from `Retry-After` in seconds or as a date.
 *
 * @returns milliseconds, undefined where there is nothing usable
 */
export function retryAfterMs(value: string | undefined, wallMs: number): number | undefined {
  if (value === undefined || value.length > 64) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - wallMs)
}

/** Answers after which the same request may succeed. */
export function isPassing(status: number): boolean {
  return status === 429 || status === 502 || status === 503 || status === 504
}
