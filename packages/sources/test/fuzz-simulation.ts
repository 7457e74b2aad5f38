/** The worlds of [`simulation/web.ts`](simulation/web.ts), seed after seed. This is `pnpm fuzz web`. */
import { fuzz } from '@disk-image/testing'
import { asPart } from '@disk-image/testing/simulation'
import { web } from './simulation/web.ts'

await fuzz(asPart(web))
