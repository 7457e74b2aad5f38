import { expect, test } from 'vitest'
import { HostLimits } from './host-limits.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test("a host's limits are numbers above 0", async () => {
  expect(() => new HostLimits({ jobs: 0 })).toThrow('The limit jobs must be a whole number above 0')
  const limits = new HostLimits({ conversions: 1, bytesInFlight: 100 })
  const { signal } = new AbortController()
  const release = await limits.admit({ bytes: 60, converts: true }, signal)
  expect(limits.bytesInFlight).toBe(60)
  const abort = new AbortController()
  const second = limits.admit({ bytes: 40, converts: true }, abort.signal)
  await turn()
  expect(limits.bytesInFlight).toBe(100)
  abort.abort(new Error('gone'))
  await expect(second).rejects.toThrow('gone')
  expect(limits.bytesInFlight).toBe(60)
  release()
  expect(limits.bytesInFlight).toBe(0)
})
