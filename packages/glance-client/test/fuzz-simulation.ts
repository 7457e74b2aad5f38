/** The worlds of [`simulation/glance.ts`](simulation/glance.ts), seed after seed. This is `pnpm fuzz glance`. */
import { fuzz } from '@disk-image/testing'
import { asPart } from '@disk-image/testing/simulation'
import { glance } from './simulation/glance.ts'

await fuzz(asPart(glance))
