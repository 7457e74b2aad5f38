import { createBootClock, openVolume } from '../../src/index.ts'

// Writes ones to a volume without end, under a lease that it renews while it holds: node leased-writer.ts VOLUME MS

const [, , volume = '', leaseMs = ''] = process.argv
const nowMs = createBootClock()
const until = new BigInt64Array(new SharedArrayBuffer(8))
const prolong = (): void => void Atomics.store(until, 0, BigInt(Math.floor(nowMs() + Number(leaseMs))))
prolong()
setInterval(
  () => {
    if (nowMs() < Number(Atomics.load(until, 0))) prolong()
  },
  Number(leaseMs) / 5,
)
const confirm = async (): Promise<void> => {
  if (nowMs() >= Number(Atomics.load(until, 0))) throw new Error('lost')
}
const sizeBytes = 16 * 2 ** 20
const target = await openVolume(volume, { durable: false, sizeBytes, writeRight: { until, confirm } })
const chunk = new Uint8Array(new SharedArrayBuffer(2 ** 18)).fill(1)
let offset = 0
const write = async (): Promise<void> => {
  for (;;) {
    const at = (offset = (offset + chunk.length) % sizeBytes)
    await target.write(chunk, at)
  }
}
process.stdout.write('ready\n')
// More at once than there are threads: some wait for their turn whenever it is stopped.
const writers = Array.from({ length: 8 }, write)
await Promise.all(writers).catch(() => undefined)
await target.close()
process.exit(3)
