import { parseArgs } from 'node:util'

/** What a part of `pnpm fuzz` counts, by name; its last line is this as JSON. */
export type FuzzCounts = Record<string, number>

/** `pnpm fuzz` puts the seed of what is made of tests here. */
export const campaignVariable: string = 'DISK_IMAGE_FUZZ_SEED'

/** A campaign in a test: the suite takes the same sample each time, `pnpm fuzz` further seeds and more of each. */
export function campaign(sample: number, most: number = sample * 5): { seed: number; runs: number } {
  const seed = process.env[campaignVariable]
  return seed === undefined ? { seed: 1, runs: sample } : { seed: Number(seed), runs: most }
}

/**
 * The main function of a part: runs one seed after the other until the time is up, one at least.
 *
 *     node PART.ts [--seed N] [--seconds S] [--go-on]
 *
 * @param run throws where it finds something; the seed alone makes it again
 * @param mostMiB how much memory the process may have at once
 * @param mostSeconds how long a case may take
 */
export async function fuzz(
  run: (seed: number, counts: FuzzCounts) => Promise<void> | void,
  {
    mostMiB = Infinity,
    mostSeconds = 120,
  }: { readonly mostMiB?: number; readonly mostSeconds?: number } = {},
): Promise<void> {
  const options = {
    seed: { type: 'string' },
    seconds: { type: 'string' },
    'go-on': { type: 'boolean' },
  } as const
  // A part may have options of its own.
  const { values } = parseArgs({ options, strict: false })
  const end = performance.now() + Number(values.seconds ?? 60) * 1000
  const counts: FuzzCounts = { cases: 0, failures: 0 }
  let seed = Number(values.seed ?? Date.now() % 1_000_000)
  do {
    process.send?.({ seed })
    const begun = performance.now()
    try {
      await run(seed, counts)
      const seconds = (performance.now() - begun) / 1000
      if (seconds > mostSeconds) throw new Error(`It took ${Math.round(seconds)} s.`)
      const hasMiB = process.resourceUsage().maxRSS / 1024
      if (hasMiB > mostMiB) throw new Error(`It had ${Math.round(hasMiB)} MiB of memory.`)
    } catch (error) {
      counts['failures'] = (counts['failures'] ?? 0) + 1
      process.exitCode = 1
      console.error(`Seed ${seed}:`, error)
      process.send?.({ failed: seed })
      if (values['go-on'] !== true) break
    }
    counts['cases'] = (counts['cases'] ?? 0) + 1
    seed += 1
  } while (performance.now() < end)
  console.log(JSON.stringify(counts))
  // What a case left open, a socket for example, does not keep the process.
  process.disconnect?.()
}
