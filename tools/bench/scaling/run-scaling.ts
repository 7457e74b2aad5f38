/** Measures how time and memory grow with size, latency, bandwidth and number: see docs/architecture/performance.md. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { BenchOptions } from '../options.ts'
import { createMeter } from './meter.ts'
import { measureBandwidth, measureLatency, measureResumes } from './network-rows.ts'
import { measureSizes, measureSparse } from './size-rows.ts'
import { measureStreams } from './stream-rows.ts'
import { describeScaling, insertTables } from './tables.ts'

const repository = path.resolve(import.meta.dirname, '../../..')

/** Runs everything. The images need about 10 GiB of disk while it runs, and are removed at the end. */
export async function runScaling(options: BenchOptions): Promise<void> {
  const folder = path.join(repository, '.cache/bench/scaling')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const startedMs = performance.now()
  try {
    const meter = await createMeter(folder, options)
    const { machine } = meter
    await measureSizes(meter, options.quick ? [0.1, 0.3] : [0.1, 0.3, 1, 3, 10])
    await measureSparse(meter)
    await measureLatency(meter)
    await measureBandwidth(meter)
    await measureResumes(meter)
    await measureStreams(meter)
    const minutes = (performance.now() - startedMs) / 60_000
    const preface = [
      `Measured on ${new Date().toISOString().slice(0, 10)} in ${minutes.toFixed(0)} minutes by \`pnpm bench -- --scaling\`: ` +
        `${os.cpus()[0]?.model ?? 'a processor'}, ${machine.cores} cores, Node.js ${process.version}; ` +
        `SHA-512 ${(machine.hashBytesPerSecond / 1e6).toFixed(0)} MB/s in one thread, disk ` +
        `${(machine.diskBytesPerSecond / 1e6).toFixed(0)} MB/s synced, ` +
        `a fetch of 1 MiB ${machine.startSeconds.toFixed(2)} s.`,
    ]
    const tables = describeScaling(meter.results, preface)
    console.log(`\n${tables}`)
    if (options.writeFile !== undefined) {
      const page = path.resolve(repository, options.writeFile)
      await writeFile(page, insertTables(await readFile(page, 'utf8'), tables))
    }
    if (options.jsonFile !== undefined) {
      const figures = { machine, minutes, results: meter.results }
      await writeFile(options.jsonFile, `${JSON.stringify(figures, null, 2)}\n`)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
