import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFolder } from '../formats/tools.ts'
import { createTally, runCampaign } from './campaign.ts'
import { kinds } from './kinds.ts'
import { ReaderProcess } from './reader-process.ts'

let folder: Awaited<ReturnType<typeof createFolder>>
let reader: ReaderProcess

beforeAll(async () => {
  folder = await createFolder()
  reader = new ReaderProcess(folder.file('.'))
})
afterAll(async () => {
  await reader[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

test.each(Object.keys(kinds))(
  'a damaged image is refused, or read as others read it: %s',
  async (name) => {
    const tally = createTally()
    await runCampaign(name, 1, 15, { reader, folder: folder.file('.'), tally })
    expect(tally.read).toBeGreaterThan(0)
    expect(tally.made + tally.damaged).toBe(16)
  },
  300_000,
)
