import type { Redis } from 'ioredis'

/** Runs one of the scripts. A key and its value never become part of a script's text. */
export function runScript(
  redis: Redis,
  script: string,
  keys: readonly string[],
  values: readonly (string | number)[],
): Promise<unknown> {
  return redis.eval(script, keys.length, ...keys, ...values)
}
