/** The worlds of [`simulation/queue.ts`](simulation/queue.ts), seed after seed. This is `pnpm fuzz queue`. */
import { fuzz } from '@disk-image/testing'
import { asPart } from '@disk-image/testing/simulation'
import { queue } from './simulation/queue.ts'

await fuzz(asPart(queue))
