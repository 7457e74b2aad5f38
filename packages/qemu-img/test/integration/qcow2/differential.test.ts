import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { decodeQcow2, openQcow2, planQcow2, Qcow2DecodeError } from '@disk-image/qemu-img/qcow2'
import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { generateImage } from './generate-image.ts'
import { GrowingFile } from './growing-file.ts'
import { MemoryTarget } from '../../memory-target.ts'
import { mutateImage } from './mutate-image.ts'
import { Random } from './random.ts'
import { convertToRaw, temporaryDirectory } from './tools.ts'

/** Images in all; `QCOW2_DIFFERENTIAL=2000` is the long run, `QCOW2_DIFFERENTIAL_SEED` starts it elsewhere. */
const imageCount = Number(process.env['QCOW2_DIFFERENTIAL'] ?? 200)
const firstSeed = Number(process.env['QCOW2_DIFFERENTIAL_SEED'] ?? 1)
const damagedPerImage = 3
const largestDiskBytes = 64 * 1024 ** 2

type Outcome = 'unsupported' | Qcow2DecodeError | MemoryTarget

/** The same bytes through all three ways: decoding, random access, extents. */
async function decode(random: Random, bytes: Buffer, file: string): Promise<Outcome> {
  const limits = { maximumVirtualSizeBytes: largestDiskBytes }
  const plan = await planQcow2(bytes, limits)
  if (!plan.supported) return 'unsupported'
  const target = new MemoryTarget(plan.virtualSizeBytes)
  const workers = random.pick([0, 0, 0, 2])
  try {
    if (random.chance(0.5)) {
      await using growing = await GrowingFile.create(file, bytes, () => random.below(bytes.byteLength / 2))
      const download = growing.download()
      const source = growing.handle
      try {
        await decodeQcow2({ source, frontier: growing, target, workers, ...limits })
      } finally {
        await download
      }
    } else {
      await decodeQcow2({ source: file, target, workers, ...limits })
    }
    return target
  } catch (error) {
    if (!(error instanceof Qcow2DecodeError)) throw error
    return error
  }
}

async function readThroughDisk(bytes: Buffer): Promise<Buffer> {
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    Promise.resolve(new Uint8Array(bytes.subarray(offset, offset + length)))
  await using disk = await openQcow2({ size: bytes.byteLength, read })
  const raw = Buffer.alloc(disk.virtualSizeBytes)
  let end = 0
  for await (const extent of disk.extents()) {
    expect(extent.offset).toBe(end)
    end += extent.length
    if (extent.kind === 'zero') continue
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
    const raw = path.join(directory.path, 'disk.raw')
    const counts = { agreed: 0, 'both refused': 0, 'refused alone': 0, unsupported: 0, damaged: 0 }

    const compare = async (random: Random, bytes: Buffer, label: string): Promise<Outcome> => {
      await writeFile(damaged, bytes)
      const outcome = await decode(random, bytes, damaged)
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
      expect(digest(await readThroughDisk(bytes)), `read differently: ${label}`).toBe(expected)
      counts.agreed += 1
      return outcome
    }

    let done = 0
    for (let seed = firstSeed; done < imageCount; seed += 1) {
      const random = new Random(seed)
      const { description, supported } = await generateImage(random, good)
      const bytes = await readFile(good)
      const outcome = await compare(random, bytes, `seed ${seed}: ${description}`)
      const verdict = outcome instanceof MemoryTarget ? 'decoded' : String(outcome)
      expect(verdict, `seed ${seed}: ${description}`).toBe(supported ? 'decoded' : 'unsupported')
      done += 1
      const damagedCount = supported ? Math.min(damagedPerImage, imageCount - done) : 0
      for (let count = 0; count < damagedCount; count += 1) {
        const mutation = mutateImage(random, bytes)
        await compare(random, mutation.bytes, `seed ${seed}: ${description}; then ${mutation.description}`)
        counts.damaged += 1
        done += 1
      }
    }
    console.log(`qcow2 differential, ${done} images: ${JSON.stringify(counts)}`)
    expect(counts.agreed).toBeGreaterThan(imageCount / 4)
  },
)
