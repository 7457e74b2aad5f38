import { expect, test, vi } from 'vitest'
import type * as limits from '../../../src/qcow2/image-map.ts'
import { checkAnyStream } from './stream-property.ts'

// So little may wait that nearly every image meets the bound.
vi.mock('../../../src/qcow2/image-map.ts', async (importOriginal) => ({
  ...(await importOriginal<typeof limits>()),
  waitingExtents: 3,
}))

test('comes to the same where hardly anything may wait', { timeout: 60_000 }, async () => {
  const { decoded, refused } = await checkAnyStream(250)
  expect(decoded).toBeGreaterThan(70)
  expect(refused).toBeGreaterThan(15)
})
