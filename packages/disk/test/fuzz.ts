/**
 * Makes images, damages them for as long as you like, and compares what our readers make of them with what others do.
 *
 *     pnpm fuzz:disk [--format vmdk] [--seed 1] [--seconds 60] [--images 100] [--mutants 7] [--go-on]
 *
 * Ends with code 1 at the first image that is read otherwise, and says how to make it again.
 */
import { parseArgs } from 'node:util'
import { createTally, runCampaign, type Tally } from './integration/campaign/campaign.ts'
import { kinds } from './integration/campaign/kinds.ts'
import { ReaderProcess } from './integration/campaign/reader-process.ts'
import { createFolder } from './integration/formats/tools.ts'

const { values } = parseArgs({
  options: {
    format: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    seconds: { type: 'string', default: '60' },
    images: { type: 'string', default: '1000000' },
    mutants: { type: 'string', default: '7' },
    'go-on': { type: 'boolean', default: false },
  },
})
const names = Object.keys(kinds).filter((name) => values.format === undefined || name === values.format)
if (names.length === 0)
  throw new TypeError(`no format ${values.format}; ${Object.keys(kinds).join(', ')} are`)
const tallies = new Map<string, Tally>(names.map((name) => [name, createTally()]))
const end = Date.now() + Number(values.seconds) * 1000
const firstSeed = Number(values.seed)
await using folder = await createFolder()
await using reader = new ReaderProcess(folder.file('.'))
for (let seed = firstSeed; seed < firstSeed + Number(values.images) && Date.now() < end; seed += 1) {
  for (const [name, tally] of tallies) {
    try {
      await runCampaign(name, seed, Number(values.mutants), { reader, folder: folder.file('.'), tally })
    } catch (error) {
      console.error(error)
      process.exitCode = 1
      if (!values['go-on']) break
    }
  }
  if (process.exitCode === 1 && !values['go-on']) break
}
for (const [name, { rules, ...counts }] of tallies) {
  const refused = [...rules].map(([rule, count]) => `${rule} ${count}`)
  process.stdout.write(`${name}: ${JSON.stringify(counts)}\n  ${refused.toSorted().join(', ')}\n`)
}
process.stdout.write(
  `The reader took at most ${Math.round(reader.mostGrownKiB / 1024)} MiB over what it began with.\n`,
)
