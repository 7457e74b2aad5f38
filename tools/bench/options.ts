import { parseArgs } from 'node:util'

/** What the command line of the benchmark asks for. */
export interface BenchOptions {
  /** Rounds in which every contestant runs once, in turn. */
  readonly rounds: number
  /** Virtual sizes of the images. */
  readonly sizesGiB: readonly number[]
  /** Only jobs whose name contains this. */
  readonly only: string | undefined
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

  --quick        images of 1 GiB, 3 rounds        (otherwise 1 and 3 GiB, 5 rounds)
  --full         also images of 10 GiB
  --rounds N     so many rounds
  --only NAME    only jobs whose name contains NAME
  --json FILE    writes all figures to FILE
  --scaling      how time and memory grow with size, latency, bandwidth and number, instead
  --write PAGE   with --scaling: puts the tables into PAGE, between its markers
`

/** @throws where an option is unknown or out of range */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    // pnpm passes its own separator on.
    args: args[0] === '--' ? args.slice(1) : [...args],
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
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
    sizesGiB: [1, ...(values.quick ? [] : [3]), ...(values.full ? [10] : [])],
    only: values.only,
    jsonFile: values.json,
    scaling: values.scaling,
    quick: values.quick,
    writeFile: values.write,
    help: values.help,
  }
}
