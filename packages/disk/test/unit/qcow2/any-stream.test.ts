import { expect, test } from 'vitest'
import { checkAnyStream } from './stream-property.ts'

test('a stream comes to what its file comes to, in any chunks', { timeout: 60_000 }, async () => {
  const { decoded, refused } = await checkAnyStream(250)
  expect(decoded).toBeGreaterThan(70)
  expect(refused).toBeGreaterThan(15)
})
