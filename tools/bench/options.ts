import { parseArgs } from 'node:util'

/** What the command line of the benchmark asks for. */
export interface BenchOptions {
  /** Rounds in which every contestant runs once, in turn. */
  readonly rounds: number
  /** Virtual sizes of the images. */
  readonly sizesGiB: readonly number[]
  /** Names of jobs, or parts of them. */
  readonly only: readonly string[] | undefined
  /** Where the figures go as JSON. */
  readonly jsonFile: string | undefined
  /** How time and memory grow, instead of the comparison. */
  readonly scaling: boolean
  readonly quick: boolean
  /** The page that takes the scaling's tables. */
  readonly writeFile: string | undefined
  readonly help: boolean
}

export const usage = `pnpm bench [-- options]

  --quick        images of 1 GiB, 3 rounds        (otherwise 1, 3 and 10 GiB, 5 rounds)
  --size N[,N…]  images of so many GiB, in whole numbers
  --rounds N     so many rounds
  --only NAME[,NAME…]
                 only the jobs of these names; for a name that no job has, those that contain it
  --json FILE    writes all figures to FILE
  --scaling      how time and memory grow with size, latency, bandwidth and number, instead
  --write PAGE   with --scaling: puts the tables into PAGE, between its markers
`

/** Each size once, the smallest first. */
function parseSizes(text: string): number[] {
  const sizes = text.split(',').map(Number)
  if (!sizes.every((size) => Number.isInteger(size) && size >= 1))
    throw new Error(`--size ${text}: not whole numbers from 1, with commas between them`)
  return [...new Set(sizes)].toSorted((a, b) => a - b)
}

/** Whether a job is among those that were asked for. */
export function isWanted(
  only: readonly string[] | undefined,
  name: string,
  allNames: readonly string[],
): boolean {
  if (only === undefined) return true
  return only.some((one) => (allNames.includes(one) ? name === one : name.includes(one)))
}

/** @throws where an option is unknown or out of range */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    // pnpm passes its own separator on.
    args: args[0] === '--' ? args.slice(1) : [...args],
    options: {
      quick: { type: 'boolean', default: false },
      size: { type: 'string' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'string' },
      scaling: { type: 'boolean', default: false },
      write: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds ?? (values.quick || values.scaling ? 3 : 5))
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: not a whole number from 1`)
  return {
    rounds,
    sizesGiB: values.size === undefined ? (values.quick ? [1] : [1, 3, 10]) : parseSizes(values.size),
    only: values.only?.split(','),
    jsonFile: values.json,
    scaling: values.scaling,
    quick: values.quick,
    writeFile: values.write,
    help: values.help,
  }
}
