/**
 * How fast the inspector is: MiB/s while a raw image streams by, and the time of one verdict on a file of 10 GiB
 * (all tables written, no data) beside the time of one `qemu-img info`. Medians of 310 verdicts; the first one on
 * a format, before the engine has compiled its code, takes longer and is shown too.
 *
 *     pnpm exec node --conditions=@disk-image/source packages/format-policy/bench/inspector.ts [--json] [--repeat N]
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { open, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify, parseArgs } from 'node:util'
import { createInspector, inspect } from '@disk-image/format-policy/inspector'

const run = promisify(execFile)
const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, repeat: { type: 'string', default: '5' } },
})
const rounds = Math.max(1, Number(values.repeat) || 5)

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0

/** Seconds of one go over `megabytes`, chunk by chunk as a download brings them. */
function time(megabytes: number, chunk: Uint8Array, take: (chunk: Uint8Array) => void): number {
  const start = performance.now()
  for (let left = megabytes * 1024 ** 2; left > 0; left -= chunk.length) take(chunk)
  return (performance.now() - start) / 1000
}

const chunk = new Uint8Array(65536).fill(0x5a)
const megabytes = 4096
const streaming = median(
  Array.from({ length: rounds }, () => {
    const inspector = createInspector()
    const seconds = time(megabytes, chunk, (bytes) => inspector.write(bytes))
    inspector.end()
    return megabytes / seconds
  }),
)
const hashing = median(
  Array.from({ length: rounds }, () => {
    const hash = createHash('sha512')
    return 512 / time(512, chunk, (bytes) => hash.update(bytes))
  }),
)

/** Milliseconds of one verdict, from opening the file to closing it. */
async function verdictMs(file: string): Promise<number> {
  const start = performance.now()
  const handle = await open(file, 'r')
  const { size } = await handle.stat()
  await inspect({
    size,
    async read(offset, length, into = new Uint8Array(length)) {
      const { buffer, bytesRead } = await handle.read(into, 0, length, offset)
      return buffer.subarray(0, bytesRead)
    },
  })
  await handle.close()
  return performance.now() - start
}

const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-bench-'))
const verdicts: Record<string, { oursMs: number; firstMs: number; qemuImgInfoMs: number }> = {}
try {
  for (const [name, format, options] of [
    ['raw', 'raw', ''],
    ['qcow2', 'qcow2', 'preallocation=metadata'],
    ['qcow2, new', 'qcow2', ''],
    ['vmdk', 'vmdk', ''],
    ['vhd', 'vpc', ''],
    ['vhdx', 'vhdx', ''],
    ['vdi', 'vdi', ''],
  ] as const) {
    const file = path.join(directory, name)
    const more = options === '' ? [] : ['-o', options]
    await run('qemu-img', ['create', '-q', '-f', format, ...more, file, '10G'])
    const ours: number[] = []
    const theirs: number[] = []
    for (let turn = 0; turn < 31; turn += 1) {
      const before = performance.now()
      await run('qemu-img', ['info', '-f', format, '--output=json', file])
      theirs.push(performance.now() - before)
      // What is left of the process is cleared away first: it is no part of a verdict.
      await setTimeout(5)
      for (let time = 0; time < 10; time += 1) ours.push(await verdictMs(file))
    }
    verdicts[name] = { oursMs: median(ours), firstMs: ours[0] ?? 0, qemuImgInfoMs: median(theirs) }
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}

const results = Object.entries(verdicts).map(([workload, { oursMs, qemuImgInfoMs }]) => ({
  workload,
  ratio: oursMs / qemuImgInfoMs,
}))
const report = { streamingMiBPerSecond: streaming, sha512MiBPerSecond: hashing, verdicts, results }
if (values.json) {
  process.stdout.write(`${JSON.stringify(report)}\n`)
} else {
  const line = (name: string, value: string): void =>
    void process.stdout.write(`${name.padEnd(28)}${value}\n`)
  line('streaming raw', `${streaming.toFixed(0)} MiB/s`)
  line('sha512 beside it', `${hashing.toFixed(0)} MiB/s`)
  for (const [name, { oursMs, firstMs, qemuImgInfoMs }] of Object.entries(verdicts)) {
    const ratio = (oursMs / qemuImgInfoMs).toFixed(2)
    line(
      `verdict on ${name}`,
      `${oursMs.toFixed(2)} ms, qemu-img info ${qemuImgInfoMs.toFixed(1)} ms (${ratio} ×); the first ${firstMs.toFixed(1)} ms`,
    )
  }
}
