/** The worlds of [`simulation/fleet.ts`](simulation/fleet.ts), seed after seed. This is `pnpm fuzz fleet`. */
import { fuzz } from '@disk-image/testing'
import { asPart } from '@disk-image/testing/simulation'
import { fleet } from './simulation/fleet.ts'

await fuzz(asPart(fleet))
