/**
 * Decoding of a complete qcow2 file against `qemu-img convert`, in interleaved rounds.
 *
 *     node --conditions=@disk-image/source bench/qcow2.ts [--size-gib 2] [--rounds 5] [--directory DIR] [--json]
 *
 * The image is an ext4 file system with files of this machine's /usr, stored plain, with zlib and with zstd.
 * Needs qemu-img and mke2fs. Every result is compared with what went in.
 */
import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { cp, mkdir, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { decodeQcow2 } from '@disk-image/disk/qcow2'

const run = promisify(execFile)

interface Sample {
  readonly wallMs: number
  /** Of ours: without the start of node. */
  readonly decodeMs?: number
  readonly peakRssMiB?: number
}

interface Row {
  readonly image: string
  readonly fileMiB: number
  readonly ours: Summary
  readonly oursWithoutStart: Summary
  readonly qemuImg: Summary
  /** Medians, ours with the start of node; below 1 ours is faster. */
  readonly ratio: number
  readonly peakRssMiB: number
}

interface Summary {
  readonly medianMs: number
  readonly minimumMs: number
  readonly maximumMs: number
}

function summarize(values: readonly number[]): Summary {
  const sorted = values.map((value) => Math.round(value)).toSorted((left, right) => left - right)
  return {
    medianMs: sorted[sorted.length >> 1] ?? 0,
    minimumMs: sorted[0] ?? 0,
    maximumMs: sorted.at(-1) ?? 0,
  }
}

async function decode(source: string, destination: string): Promise<void> {
  const start = performance.now()
  const output = await open(destination, 'w')
  const write = async (chunk: Uint8Array, offset: number): Promise<void> => {
    for (let done = 0; done < chunk.byteLength;) {
      const { bytesWritten } = await output.write(chunk, done, chunk.byteLength - done, offset + done)
      done += bytesWritten
    }
  }
  const { virtualSizeBytes } = await decodeQcow2({ source, target: { write } })
  await output.truncate(virtualSizeBytes)
  await output.close()
  const sample = {
    decodeMs: performance.now() - start,
    peakRssMiB: process.resourceUsage().maxRSS / 1024,
  }
  process.stdout.write(JSON.stringify(sample))
}

/** Copies files below `source` until so many bytes are there. */
async function gatherFiles(source: string, destination: string, budgetBytes: number): Promise<number> {
  let left = budgetBytes
  await mkdir(destination)
  const entries = await readdir(source, { withFileTypes: true })
  for (const entry of entries.toSorted((first, second) => (first.name < second.name ? -1 : 1))) {
    if (left <= 0) break
    const from = path.join(source, entry.name)
    const to = path.join(destination, entry.name)
    if (entry.isDirectory()) left = await gatherFiles(from, to, left)
    else if (entry.isFile()) {
      const { size } = await stat(from)
      if (size > left) continue
      await cp(from, to)
      left -= size
    }
  }
  return left
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function timed(action: () => Promise<Partial<Sample>>): Promise<Sample> {
  const start = performance.now()
  const more = await action()
  return { ...more, wallMs: performance.now() - start }
}

function ours(source: string, destination: string): Promise<Sample> {
  return timed(async () => {
    const args = ['--conditions=@disk-image/source', fileURLToPath(import.meta.url)]
    const { stdout } = await run(process.execPath, [...args, '--decode', source, destination])
    return JSON.parse(stdout) as Partial<Sample>
  })
}

function qemuImg(source: string, destination: string): Promise<Sample> {
  return timed(async () => {
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', source, destination])
    return {}
  })
}

async function measure(image: string, file: string, expected: string, rounds: number): Promise<Row> {
  const output = `${file}.raw`
  const samples: { readonly ours: Sample[]; readonly qemuImg: Sample[] } = { ours: [], qemuImg: [] }
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, tool] of [
      ['ours', ours],
      ['qemuImg', qemuImg],
    ] as const) {
      await rm(output, { force: true })
      samples[name].push(await tool(file, output))
      if (round === 0 && (await digest(output)) !== expected)
        throw new Error(`${name}: ${image} came out wrong`)
    }
  }
  await rm(output, { force: true })
  const own = summarize(samples.ours.map(({ wallMs }) => wallMs))
  const peer = summarize(samples.qemuImg.map(({ wallMs }) => wallMs))
  return {
    image,
    fileMiB: Math.round((await stat(file)).size / 2 ** 20),
    ours: own,
    oursWithoutStart: summarize(samples.ours.map(({ decodeMs }) => decodeMs ?? 0)),
    qemuImg: peer,
    ratio: Number((own.medianMs / peer.medianMs).toFixed(2)),
    peakRssMiB: Math.round(Math.max(...samples.ours.map(({ peakRssMiB }) => peakRssMiB ?? 0))),
  }
}

function json(rows: readonly Row[]): string {
  return `${JSON.stringify({ node: process.version, cpus: availableParallelism(), rows }, undefined, 2)}\n`
}

/** Milliseconds: median (minimum–maximum). */
function table(rows: readonly Row[]): string {
  const show = ({ medianMs, minimumMs, maximumMs }: Summary): string =>
    `${medianMs} (${minimumMs}–${maximumMs})`.padEnd(22)
  const lines = rows.map((row) =>
    [
      row.image.padEnd(6),
      `${row.fileMiB} MiB`.padEnd(9),
      show(row.ours),
      show(row.oursWithoutStart),
      show(row.qemuImg),
      String(row.ratio).padEnd(6),
      `${row.peakRssMiB} MiB`,
    ].join(' '),
  )
  const titles = ['ours, ms', 'without start of node', 'qemu-img convert'].map((title) => title.padEnd(22))
  return ['image  file      ' + [...titles, 'ratio  peak RSS'].join(' '), ...lines, ''].join('\n')
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'size-gib': { type: 'string', default: '2' },
      rounds: { type: 'string', default: '5' },
      directory: { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
      decode: { type: 'boolean', default: false },
    },
  })
  const [source, destination] = positionals
  if (values.decode && source !== undefined && destination !== undefined) {
    await decode(source, destination)
    return
  }
  const directory = await mkdtemp(path.join(values.directory, 'disk-image-bench-'))
  try {
    const sizeBytes = Number(values['size-gib']) * 2 ** 30
    const raw = path.join(directory, 'disk.raw')
    const files = path.join(directory, 'files')
    await gatherFiles('/usr', files, sizeBytes * 0.4)
    await run('mke2fs', ['-q', '-t', 'ext4', '-d', files, raw, `${Math.round(sizeBytes / 2 ** 20)}M`])
    await rm(files, { recursive: true })
    const expected = await digest(raw)
    const rows: Row[] = []
    const variants = { plain: [], zlib: ['-c'], zstd: ['-c', '-o', 'compression_type=zstd'] }
    for (const [name, flags] of Object.entries(variants)) {
      const file = path.join(directory, `${name}.qcow2`)
      await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ...flags, raw, file])
      rows.push(await measure(name, file, expected, Number(values.rounds)))
      await rm(file)
    }
    process.stdout.write(values.json ? json(rows) : table(rows))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

await main()
