/**
 * Makes images, damages them, and compares what our readers make of them with what others do.
 *
 *     pnpm fuzz disk [--format vmdk] [--mutants 7]
 *
 * An image that is read otherwise is named by its kind and its seed.
 */
import { parseArgs } from 'node:util'
import { fuzz } from '@disk-image/testing'
import { createTally, runCampaign } from './integration/campaign/campaign.ts'
import { kinds } from './integration/campaign/kinds.ts'
import { ReaderProcess } from './integration/campaign/reader-process.ts'
import { createFolder } from './integration/formats/tools.ts'

const { values } = parseArgs({
  options: { format: { type: 'string' }, mutants: { type: 'string', default: '7' } },
  strict: false,
})
const names = Object.keys(kinds).filter((name) => values.format === undefined || name === values.format)
if (names.length === 0)
  throw new TypeError(`no format ${String(values.format)}; ${Object.keys(kinds).join(', ')} are`)
await using folder = await createFolder()
await using reader = new ReaderProcess(folder.file('.'))

await fuzz(async (seed, counts) => {
  const errors: unknown[] = []
  for (const name of names) {
    const tally = createTally()
    try {
      await runCampaign(name, seed, Number(values.mutants), { reader, folder: folder.file('.'), tally })
    } catch (error) {
      errors.push(error)
    }
    const { rules, ...numbers } = tally
    for (const [key, value] of Object.entries(numbers)) counts[key] = (counts[key] ?? 0) + value
    for (const [rule, value] of rules) counts[`${name} ${rule}`] = (counts[`${name} ${rule}`] ?? 0) + value
  }
  counts['mostMiB'] = Math.round(reader.mostGrownKiB / 1024)
  if (errors.length > 0) throw new AggregateError(errors, `of seed ${seed}`)
})
