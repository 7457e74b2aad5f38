/**
 * Commands in a sandbox are ended in their first 20 ms, by a cancel or with their caller, whatever ends that: none may be
 * left. This is `pnpm fuzz kills`.
 */
import { fuzz, requireTool } from '@disk-image/testing'
import { Random } from '@disk-image/testing/simulation'
import { killWhileStarting } from './helpers/kill-while-starting.ts'

requireTool('bwrap')
await fuzz(async (seed, counts) => {
  const random = new Random(seed)
  const how = random.pick(['cancel', 'SIGKILL', 'SIGTERM', 'SIGINT'] as const)
  const commands = 40
  const left = await killWhileStarting({ how, commands, random: () => random.next() })
  counts[how] = (counts[how] ?? 0) + commands
  if (left.length > 0) throw new Error(`Left after ${how}: ${left.join('; ')}`)
})
