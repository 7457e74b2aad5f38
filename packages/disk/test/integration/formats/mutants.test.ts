import { expect, test } from 'vitest'
import { campaignFormats, runCampaign, type Tally } from './campaign.ts'

test.each(campaignFormats)(
  'a damaged %s is refused, or read as qemu-img reads it',
  async (format) => {
    const tally: Tally = { read: 0, streamed: 0, refused: 0, rules: new Map() }
    for (let seed = 1; seed <= 2; seed += 1) await runCampaign(format, seed, 16, tally)
    expect(tally.read).toBeGreaterThan(2)
    expect(tally.refused).toBeGreaterThan(2)
  },
  300_000,
)
