/**
 * Damages images for as long as you like, and compares what our readers make of them with qemu-img.
 *
 *     pnpm fuzz:disk [--seconds 60] [--format vmdk] [--seed 1]
 *
 * Ends with code 1 at the first image that is read otherwise, and says how to make it again.
 */
import { parseArgs } from 'node:util'
import { campaignFormats, runCampaign, type Tally } from './integration/formats/campaign.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    format: { type: 'string' },
  },
})
const formats = campaignFormats.filter((format) => values.format === undefined || format === values.format)
if (formats.length === 0) throw new TypeError(`no format ${values.format}`)
const tally: Tally = { read: 0, streamed: 0, refused: 0, rules: new Map() }
const end = Date.now() + Number(values.seconds) * 1000
for (let seed = Number(values.seed); Date.now() < end; seed += 1) {
  for (const format of formats) await runCampaign(format, seed, 40, tally)
}
const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024)
process.stdout.write(
  `${tally.read} read as qemu-img does (${tally.streamed} as a stream), ${tally.refused} refused, at most ${peakMiB} MiB\n`,
)
for (const [rule, count] of tally.rules) process.stdout.write(`  ${rule}: ${count}\n`)
