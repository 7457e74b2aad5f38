import { expect, test } from 'vitest'
import { campaignFormats, runCampaign, type Tally } from './campaign.ts'

test.each(campaignFormats)('a damaged %s is refused, or read as qemu-img reads it', async (format) => {
  const tally: Tally = { read: 0, refused: 0, rules: new Map() }
  for (let seed = 1; seed <= 3; seed += 1) await runCampaign(format, seed, 20, tally)
  expect(tally.read).toBeGreaterThan(3)
  expect(tally.refused).toBeGreaterThan(3)
})
