import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const program = fileURLToPath(new URL('../helpers/leased-writer.ts', import.meta.url))
const another = Buffer.alloc(16 * 2 ** 20, 2)
const leaseMs = 200
/** How often a writer is stopped; more with LEASE_STOPS. */
const stops = Number(process.env['LEASE_STOPS'] ?? 3)

test(
  'a process that was stopped for longer than its lease looks at the clock before it writes again',
  async () => {
    const folder = await mkdtemp('/var/tmp/guarded-')
    const volume = path.join(folder, 'volume')
    let late = 0
    try {
      for (let stop = 0; stop < stops; stop += 1) {
        await writeFile(volume, Buffer.alloc(another.length))
        const words = ['--conditions=@disk-image/source', program, volume, String(leaseMs)]
        const writer = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
        const exit = once(writer, 'exit')
        await once(writer.stdout, 'data')
        await delay(50 + Math.random() * 100)
        writer.kill('SIGSTOP')
        await delay(leaseMs + 100)
        // It is another's now.
        await writeFile(volume, another)
        writer.kill('SIGCONT')
        expect(await exit).toEqual([3, null])
        const bytes = await readFile(volume)
        if (!bytes.equals(another)) late += 1
      }
    } finally {
      await rm(folder, { recursive: true })
    }
    console.info(`stopped ${stops} times, written afterwards: ${late}`)
    // Between the look and the write are some microseconds, in which only the lock of whoever comes next can help.
    expect(late).toBeLessThanOrEqual(Math.ceil(stops / 50))
  },
  30_000 + stops * 3000,
)
