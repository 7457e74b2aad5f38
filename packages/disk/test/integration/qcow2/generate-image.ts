import { open, rm, writeFile } from 'node:fs/promises'
import { qemu } from './tools.ts'
import type { Random } from '../../random.ts'

/** An image made by qemu's own tools. */
export interface GeneratedImage {
  readonly description: string
}

const clusterSizes = [
  512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 65_536, 131_072, 262_144, 524_288, 1_048_576,
  2_097_152,
] as const

interface Shape {
  readonly clusterSize: number
  /** Bytes that can be zero, or not be there, by themselves: a cluster or a subcluster. */
  readonly unitBytes: number
  readonly sizeBytes: number
  readonly options: readonly string[]
}

function chooseShape(random: Random): Shape {
  const clusterSize = random.pick(clusterSizes)
  const version3 = random.chance(0.8)
  const clusters = 1 + random.below(clusterSize >= 524_288 ? 6 : 60)
  const odd = random.chance(0.5) ? random.below(clusterSize / 512) * 512 : 0
  const sizeBytes = random.chance(0.02) ? 0 : clusters * clusterSize + odd
  const options = [`cluster_size=${clusterSize}`, `compat=${version3 ? '1.1' : '0.10'}`]
  if (version3) {
    if (random.chance(0.4)) options.push('compression_type=zstd')
    if (random.chance(0.2)) options.push('lazy_refcounts=on')
    if (random.chance(0.3)) options.push(`refcount_bits=${random.pick([1, 2, 4, 8, 16, 32, 64])}`)
  }
  const extended = version3 && clusterSize >= 16_384 && random.chance(0.4)
  if (extended) options.push('extended_l2=on')
  return { clusterSize, unitBytes: extended ? clusterSize / 32 : clusterSize, sizeBytes, options }
}

/** Content between noise and one repeated byte, with zeros in places. */
function content(random: Random, shape: Shape): Buffer {
  const bytes = Buffer.alloc(shape.sizeBytes)
  const step = Math.max(512, Math.floor(shape.clusterSize / random.pick([1, 2, 4])))
  for (let offset = 0; offset < bytes.byteLength; offset += step) {
    const part = bytes.subarray(offset, offset + step)
    const kind = random.below(4)
    if (kind === 1) part.fill(1 + random.below(255))
    else if (kind === 2) fillNoise(random, part, 256)
    else if (kind === 3) fillNoise(random, part, 8)
  }
  return bytes
}

function fillNoise(random: Random, bytes: Buffer, symbols: number): void {
  for (let index = 0; index + 4 <= bytes.byteLength; index += 4) {
    const value = random.below(2 ** 32)
    bytes.writeUInt32LE(symbols === 256 ? value : (value & 0x07070707) >>> 0, index)
  }
}

/** qemu-io commands that leave plain, compressed, zero, discarded and overwritten clusters behind. */
function commands(random: Random, shape: Shape): string[] {
  const { clusterSize, unitBytes, sizeBytes } = shape
  const units = Math.floor(sizeBytes / unitBytes)
  const clusters = Math.floor(sizeBytes / clusterSize)
  const result: string[] = []
  const count = sizeBytes === 0 ? 0 : 3 + random.below(25)
  for (let index = 0; index < count; index += 1) {
    const kind = random.below(7)
    const pattern = random.below(256)
    if (kind <= 2 || clusters === 0) {
      const offset = random.below(sizeBytes / 512) * 512
      const length = Math.min(sizeBytes - offset, 512 * (1 + random.below((3 * clusterSize) / 512)))
      result.push(`write -P ${pattern} ${offset} ${length}`)
      continue
    }
    if (kind === 3) {
      result.push(`write -c -P ${pattern} ${random.below(clusters) * clusterSize} ${clusterSize}`)
      continue
    }
    const first = random.below(units)
    const offset = first * unitBytes
    const most = unitBytes === clusterSize ? 4 : 70
    const length = Math.min(units - first, 1 + random.below(most)) * unitBytes
    if (kind === 4) result.push(`write -z ${offset} ${length}`)
    else if (kind === 5) result.push(`write -z -u ${offset} ${length}`)
    else result.push(`discard ${offset} ${length}`)
  }
  return result
}

async function play(file: string, list: readonly string[]): Promise<void> {
  if (list.length === 0) return
  // Compressed writes first: qemu 7.2 goes on packing them into a host cluster that was freed in between and
  // already serves another guest cluster, which damages both.
  const compressed = new Set(list.filter((command) => command.startsWith('write -c')))
  const ordered = [...compressed, ...list.filter((command) => !compressed.has(command))]
  const args = ['-f', 'qcow2', ...ordered.flatMap((command) => ['-c', command]), file]
  await qemu('qemu-io', args).catch(ignoreFailedCommand)
}

/** 1: single commands failed, as a compressed write does where something was written before. */
function ignoreFailedCommand(error: unknown): void {
  if ((error as { readonly code?: unknown }).code !== 1) throw error
}

/** As a program leaves it that was killed. */
async function markAsDirty(file: string): Promise<void> {
  await using handle = await open(file, 'r+')
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, 79)
  buffer.writeUInt8(buffer.readUInt8() | 1)
  await handle.write(buffer, 0, 1, 79)
}

/** Makes one image at `file`. */
export async function generateImage(random: Random, file: string): Promise<GeneratedImage> {
  await rm(file, { force: true })
  const shape = chooseShape(random)
  const options = [...shape.options]
  const parts = [`${shape.sizeBytes} bytes`, ...options]

  if (random.chance(0.4)) {
    const raw = `${file}.content`
    await writeFile(raw, content(random, shape))
    const compressed = random.chance(0.7)
    const unordered = random.chance(0.3)
    const flags = [...(compressed ? ['-c'] : []), ...(unordered ? ['-W'] : [])]
    parts.push(`convert ${flags.join(' ')}`)
    await qemu('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'qcow2',
      ...flags,
      '-o',
      options.join(','),
      raw,
      file,
    ])
    await rm(raw)
  } else {
    const preallocation = random.pick(['off', 'off', 'off', 'metadata', 'falloc', 'full'])
    options.push(`preallocation=${preallocation}`)
    parts.push(`create preallocation=${preallocation}`)
    await qemu('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      options.join(','),
      file,
      String(shape.sizeBytes),
    ])
  }
  const list = random.chance(0.85) ? commands(random, shape) : []
  const split = random.below(list.length + 1)
  await play(file, list.slice(0, split))
  const snapshots =
    shape.sizeBytes === 0 || options.includes('refcount_bits=1') ? 0 : random.pick([0, 0, 0, 1, 2])
  for (let index = 0; index < snapshots; index += 1) {
    // Narrow refcounts leave no room for some snapshots.
    await qemu('qemu-img', ['snapshot', '-c', `state-${index}`, file]).catch(ignoreFailedCommand)
    parts.push('snapshot')
  }
  await play(file, list.slice(split))
  if (snapshots > 0 && random.chance(0.3)) {
    // qemu 7.2 can't go back to some snapshots, and leaves the image as it is.
    await qemu('qemu-img', ['snapshot', '-a', 'state-0', file]).catch(ignoreFailedCommand)
    parts.push('applied')
  }
  if (shape.sizeBytes > 0 && options.includes('compat=1.1') && random.chance(0.15)) {
    await qemu('qemu-img', ['bitmap', '--add', '-f', 'qcow2', file, 'changes'])
    parts.push('bitmap')
    if (random.chance(0.5)) await play(file, [`write -P 7 0 ${Math.min(shape.sizeBytes, 3072)}`])
  }
  if (options.includes('lazy_refcounts=on') && random.chance(0.5)) {
    await markAsDirty(file)
    parts.push('dirty')
  }
  return { description: [...parts, ...list].join('; ') }
}
