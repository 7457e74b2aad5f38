import { execFileSync, spawnSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'

/**
 * Coalesces two chains of three disks and compares with `cp` of the children's files, both until the file
 * system is synced, each run with a cold page cache where the machine lets us drop it.
 *
 * A: 4 GiB disk; base 256 MiB, middle and leaf 512 MiB of whole blocks, half of them in both. B: three times
 * 256 MiB, the children with 4 KiB of every 64 KiB written.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '5' },
    directory: { type: 'string' },
    scale: { type: 'string', default: '1' },
  },
})
const repeat = Number(values.repeat)
const scale = Number(values.scale)
const blockBytes = 2 ** 21
/** What a user runs: the built package, without the cost of stripping types at start. */
const built = path.join(import.meta.dirname, '../dist/index.js')

interface Level {
  readonly blocks: readonly number[]
  readonly fragmented: boolean
}

const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index)
const n = (blocks: number): number => Math.max(2, Math.round(blocks * scale))
/** Leaf first. */
const workloads: Readonly<Record<string, readonly Level[]>> = {
  A: [
    { blocks: range(n(256), n(256)), fragmented: false },
    { blocks: range(n(128), n(256)), fragmented: false },
    { blocks: range(0, n(128)), fragmented: false },
  ],
  B: [
    { blocks: range(0, n(128)), fragmented: true },
    { blocks: range(0, n(128)), fragmented: true },
    { blocks: range(0, n(128)), fragmented: false },
  ],
}

function checksum(bytes: Buffer): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  return ~sum >>> 0
}

/** A disk whose file is written from one end to the other, so that `cp` has no holes to skip. */
function writeLevel(file: string, level: Level, index: number, isBase: boolean): void {
  const entries = (4 * 2 ** 30) / blockBytes
  const footer = Buffer.alloc(512)
  footer.write('conectix\0\0\0\u0002\0\u0001\0\0', 'latin1')
  footer.writeBigUInt64BE(512n, 16)
  footer.write('win ', 28)
  footer.writeUInt32BE(0xa0000, 32)
  footer.write('Wi2k', 36)
  footer.writeBigUInt64BE(4n * 2n ** 30n, 40)
  footer.writeBigUInt64BE(4n * 2n ** 30n, 48)
  footer.writeUInt16BE(8322, 56)
  footer[58] = 16
  footer[59] = 63
  footer.writeUInt32BE(isBase ? 3 : 4, 60)
  footer.fill(index + 1, 68, 84)
  footer.writeUInt32BE(checksum(footer), 64)
  const header = Buffer.alloc(1024)
  header.write('cxsparse', 'latin1')
  header.fill(0xff, 8, 16)
  header.writeBigUInt64BE(1536n, 16)
  header.writeUInt32BE(0x10000, 24)
  header.writeUInt32BE(entries, 28)
  header.writeUInt32BE(blockBytes, 32)
  if (!isBase) header.fill(index + 2, 40, 56)
  header.writeUInt32BE(checksum(header), 36)
  const table = Buffer.alloc(entries * 4, 0xff)
  let end = 1536 + table.length
  const handle = openSync(file, 'w')
  const block = Buffer.alloc(512 + blockBytes)
  for (const number of level.blocks) {
    const start = Math.ceil((end + 512) / 4096) * 4096 - 512
    table.writeUInt32BE(start / 512, number * 4)
    randomFillSync(block, 512)
    block.fill(0xff, 0, 512)
    if (level.fragmented) {
      for (let at = 0; at < 512; at += 16) block.fill(0, at + 1, at + 16)
    }
    writeSync(handle, block, 0, block.length, start)
    end = start + block.length
  }
  writeSync(handle, Buffer.concat([footer, header, table]), 0, 1536 + table.length, 0)
  writeSync(handle, footer, 0, 512, end)
  ftruncateSync(handle, end + 512)
  closeSync(handle)
}

function dropCache(): boolean {
  spawnSync('sync')
  return spawnSync('sh', ['-c', 'echo 3 > /proc/sys/vm/drop_caches'], { stdio: 'ignore' }).status === 0
}

function timed(run: () => void): number {
  const start = performance.now()
  run()
  return (performance.now() - start) / 1000
}

/** Runs a script in a process of its own; its last line is its peak memory in KiB. */
function runScript(script: string): number {
  const full = `${script}\nconsole.log(process.resourceUsage().maxRSS)`
  const flags = ['--no-warnings', '--input-type=module', '-e', full]
  return Number(execFileSync(process.execPath, flags, { encoding: 'utf8' }).trim())
}

const median = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0
const rounded = (value: number): number => Math.round(value * 100) / 100

function benchmark(name: string, levels: readonly Level[], root: string): object {
  const directory = path.join(root, name)
  const work = path.join(root, `${name}-work`)
  execFileSync('mkdir', ['-p', directory])
  const files = levels.map((_, index) => path.join(directory, `${index}.vhd`))
  for (const [index, level] of levels.entries()) {
    writeLevel(path.join(directory, `${index}.vhd`), level, index, index === levels.length - 1)
  }
  const times = { copy: [] as number[], coalesce: [] as number[], flatten: [] as number[] }
  let rssMiB = 0
  let isCold = true
  for (let round = 0; round < repeat; round += 1) {
    const fresh = (): string[] => {
      rmSync(work, { recursive: true, force: true })
      execFileSync('cp', ['-r', '--sparse=never', directory, work])
      isCold = dropCache() && isCold
      return files.map((file) => path.join(work, path.basename(file)))
    }
    let chain = fresh()
    const copies = path.join(work, 'copies')
    execFileSync('mkdir', [copies])
    times.copy.push(
      timed(() => {
        execFileSync('cp', [...chain.slice(0, -1), copies])
        execFileSync('sync', ['-f', copies])
      }),
    )
    chain = fresh()
    const list = JSON.stringify(chain)
    times.coalesce.push(
      timed(() => {
        const kib = runScript(
          `import { coalesceChain } from ${JSON.stringify(built)}; await coalesceChain(${list})`,
        )
        rssMiB = Math.max(rssMiB, kib / 1024)
        execFileSync('sync', ['-f', work])
      }),
    )
    chain = fresh()
    const raw = JSON.stringify(path.join(work, 'raw'))
    times.flatten.push(
      timed(() => {
        runScript(
          `import { flattenChain } from ${JSON.stringify(built)}; await flattenChain(${JSON.stringify(chain)}, ${raw})`,
        )
        execFileSync('sync', ['-f', work])
      }),
    )
    rmSync(work, { recursive: true, force: true })
  }
  return {
    workload: name,
    coldCache: isCold,
    copySeconds: rounded(median(times.copy)),
    copyRange: [Math.min(...times.copy), Math.max(...times.copy)].map(rounded),
    coalesceSeconds: rounded(median(times.coalesce)),
    coalesceRange: [Math.min(...times.coalesce), Math.max(...times.coalesce)].map(rounded),
    ratio: rounded(median(times.coalesce) / median(times.copy)),
    bestRatio: rounded(Math.min(...times.coalesce) / Math.min(...times.copy)),
    flattenToRawSeconds: rounded(median(times.flatten)),
    peakRssMiB: Math.round(rssMiB),
  }
}

execFileSync('pnpm', ['exec', 'tsc', '-b', path.join(import.meta.dirname, '..')], { stdio: 'inherit' })
const root = mkdtempSync(path.join(values.directory ?? tmpdir(), 'disk-image-vhd-bench-'))
try {
  const results = Object.entries(workloads).map(([name, levels]) => benchmark(name, levels, root))
  // oxlint-disable-next-line no-console -- a benchmark prints
  if (values.json) console.log(JSON.stringify({ benchmark: 'vhd-coalesce', repeat, scale, results }))
  // oxlint-disable-next-line no-console -- a benchmark prints
  else console.table(results)
} finally {
  rmSync(root, { recursive: true, force: true })
}
