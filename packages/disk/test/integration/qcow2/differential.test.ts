import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { decodeQcow2, openQcow2, planQcow2, Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { campaign, requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { feedStream } from '../../feed-stream.ts'
import { MemoryTarget } from '../../memory-target.ts'
import { generateImage } from './generate-image.ts'
import { mutateImage } from './mutate-image.ts'
import { Random } from '../../random.ts'
import { convertToRaw, temporaryDirectory } from './tools.ts'

/** Images in all. */
const { seed: firstSeed, runs: imageCount } = campaign(200, 200)
const damagedPerImage = 3
const largestDiskBytes = 64 * 1024 ** 2

type Outcome = 'unsupported' | Qcow2DecodeError | MemoryTarget

const limits = { maximumSizeBytes: largestDiskBytes }

/** Decodes the file. */
async function decode(random: Random, bytes: Buffer, file: string): Promise<Outcome> {
  const plan = planQcow2(bytes, limits)
  if (!plan.supported) return 'unsupported'
  const target = new MemoryTarget(plan.layout.sizeBytes)
  const workers = random.pick([0, 0, 0, 2])
  try {
    await decodeQcow2({ source: file, target, workers, ...limits })
    return target
  } catch (error) {
    if (!(error instanceof Qcow2DecodeError)) throw error
    return error
  }
}

/** Decodes the same bytes as a stream, in chunks of lengths that differ, or are all alike. */
async function decodeStream(random: Random, bytes: Buffer, file: string): Promise<Outcome> {
  const plan = planQcow2(bytes, limits)
  if (!plan.supported) return 'unsupported'
  const largest = random.pick([5000, 100_000, 3_000_000])
  const alike = random.chance(0.3) ? random.pick([4096, 65_536, 262_144]) : undefined
  // Small chunks of large files would take their time.
  const least = Math.ceil(bytes.byteLength / 40)
  const step = (): number => Math.max(least, alike ?? random.below(largest))
  const fileBytes = random.chance(0.5) ? 0 : random.below(Math.min(bytes.byteLength, 300_000) + 1)
  const target = new MemoryTarget(plan.layout.sizeBytes, 1)
  const workers = random.chance(0.1) ? 2 : 0
  try {
    const { keptBytes } = await feedStream({ file, bytes, fileBytes, step, target, workers })
    streamed.total += bytes.byteLength
    streamed.kept += keptBytes
    return target
  } catch (error) {
    if (!(error instanceof Qcow2DecodeError)) throw error
    return error
  }
}

/** Bytes of the streams that were decoded, and those of them that went through the file. */
const streamed = { total: 0, kept: 0 }

async function readThroughDisk(bytes: Buffer): Promise<Buffer> {
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    Promise.resolve(new Uint8Array(bytes.subarray(offset, offset + length)))
  await using disk = await openQcow2({ size: bytes.byteLength, read })
  const raw = Buffer.alloc(disk.virtualSizeBytes)
  let end = 0
  for await (const extent of disk.extents()) {
    expect(extent.offset).toBe(end)
    end += extent.length
    if (extent.kind !== 'data') continue
    const { offset: start, length } = extent
    let position = start
    for await (const chunk of disk.stream({ start, end: start + length, chunkSizeBytes: 300_001 })) {
      raw.set(chunk, position)
      position += chunk.byteLength
    }
  }
  expect(end).toBe(disk.virtualSizeBytes)
  return raw
}

function nameOf(outcome: Outcome): 'unsupported' | 'refused' | 'decoded' {
  if (outcome === 'unsupported') return outcome
  return outcome instanceof MemoryTarget ? 'decoded' : 'refused'
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test(
  `agrees with qemu-img convert, or refuses, on ${imageCount} images`,
  { timeout: 600_000 + imageCount * 2000 },
  async () => {
    requireTool('qemu-img')
    requireTool('qemu-io')
    await using directory = await temporaryDirectory()
    const good = path.join(directory.path, 'good.qcow2')
    const damaged = path.join(directory.path, 'damaged.qcow2')
    const side = path.join(directory.path, 'side.qcow2')
    const raw = path.join(directory.path, 'disk.raw')
    const counts = { agreed: 0, 'both refused': 0, 'refused alone': 0, unsupported: 0, damaged: 0 }

    const compare = async (
      random: Random,
      chunks: Random,
      bytes: Buffer,
      label: string,
    ): Promise<Outcome> => {
      const stream = await decodeStream(chunks, bytes, side)
      await writeFile(damaged, bytes)
      const outcome = await decode(random, bytes, damaged)
      // A stream may find another fault first, but never takes what a file does not, nor the other way round.
      expect(nameOf(stream), `as a stream: ${label}`).toBe(nameOf(outcome))
      await rm(raw, { force: true })
      if (outcome === 'unsupported') {
        counts.unsupported += 1
        return outcome
      }
      const taken = await convertToRaw(damaged, raw)
      if (outcome instanceof Qcow2DecodeError) {
        counts[taken ? 'refused alone' : 'both refused'] += 1
        return outcome
      }
      expect(taken, `qemu-img refuses what was decoded: ${label}`).toBe(true)
      const expected = digest(await readFile(raw))
      expect(digest(outcome.bytes), `decoded differently: ${label}`).toBe(expected)
      const streamedBytes = stream instanceof MemoryTarget ? stream.bytes : Buffer.alloc(0)
      expect(digest(streamedBytes), `decoded differently as a stream: ${label}`).toBe(expected)
      expect(digest(await readThroughDisk(bytes)), `read differently: ${label}`).toBe(expected)
      counts.agreed += 1
      return outcome
    }

    let done = 0
    for (let seed = firstSeed; done < imageCount; seed += 1) {
      const random = new Random(seed)
      // Of their own, so that a seed goes on meaning the same images.
      const chunks = new Random(-seed)
      const { description } = await generateImage(random, good)
      const bytes = await readFile(good)
      const outcome = await compare(random, chunks, bytes, `seed ${seed}: ${description}`)
      const verdict = outcome instanceof MemoryTarget ? 'decoded' : String(outcome)
      expect(verdict, `seed ${seed}: ${description}`).toBe('decoded')
      done += 1
      const damagedCount = Math.min(damagedPerImage, imageCount - done)
      for (let count = 0; count < damagedCount; count += 1) {
        const mutation = mutateImage(random, bytes)
        await compare(
          random,
          chunks,
          mutation.bytes,
          `seed ${seed}: ${description}; then ${mutation.description}`,
        )
        counts.damaged += 1
        done += 1
      }
    }
    const keptPercent = Math.round((100 * streamed.kept) / streamed.total)
    console.log(
      `qcow2 differential, ${done} images: ${JSON.stringify(counts)}; ${keptPercent} % kept of streams`,
    )
    expect(counts.agreed).toBeGreaterThan(imageCount / 4)
  },
)
