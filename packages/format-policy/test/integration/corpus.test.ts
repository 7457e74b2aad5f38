import { open } from 'node:fs/promises'
import { campaign } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildCorpus, expected, ids, peers, rightlyAccepted } from '../corpus/corpus.ts'
import { allSeeds } from '../build/more-seeds.ts'
import { MutableImage } from '../build/mutable-image.ts'
import { mutateInPlace } from '../build/mutate.ts'
import { Random } from '../build/random.ts'
import { judge } from '../judge.ts'
import { checkSoundnessOfFile } from '../soundness.ts'
import { failed, inspectFile, run, streamFile, temporaryDirectory } from '../support.ts'

const qemuNames: Readonly<Record<string, string>> = { vhd: 'vpc', iso: 'raw' }
/** Changed images of each one. */
const { seed: firstSeed, runs: mutations } = campaign(40, 100)
/** Of larger images, the start is changed. */
const mostBytes = 8 * 1024 ** 2
let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let fileOf: (id: string) => string

beforeAll(async () => {
  directory = await temporaryDirectory()
  fileOf = await buildCorpus(directory.path)
})
afterAll(() => directory[Symbol.asyncDispose]())

describe('every image of the corpus', () => {
  test.each(ids)('%s', async (id) => {
    const result = await inspectFile(fileOf(id))
    const { format, safe, virtualSizeBytes, contentName } = result
    const failures = failed(result)
    const size = virtualSizeBytes === undefined ? {} : { virtualSizeBytes }
    const content = contentName === undefined ? {} : { contentName }
    const found = { format, safe, ...size, ...content, ...(failures.length > 0 ? { failed: failures } : {}) }
    expect(found).toEqual(expected[id])
    // A terabyte takes too long as a stream, and says nothing new.
    const { fileSizeBytes = 0 } = result
    if (fileSizeBytes > 2 ** 28) return
    const chunks = fileSizeBytes < 20_000 ? [1, 7, 511, 512] : [4093, 65536, 2 ** 20 + 1]
    for (const chunk of chunks) expect(streamFile(fileOf(id), chunk)).toEqual(result)
  })
})

const safeIds = ids.filter((id) => expected[id]?.safe === true)

describe('soundness: what is safe opens nothing else, and has the size that qemu-img says', () => {
  test('there is much that is safe', () => {
    expect(safeIds.length).toBeGreaterThan(90)
  })

  test.each(safeIds)('%s', async (id) => {
    expect(await checkSoundnessOfFile(fileOf(id), await inspectFile(fileOf(id)))).toBeUndefined()
  })
})

describe('compared with others', () => {
  test.each(['cinder', 'oslo'] as const)('what %s refuses, ours accepts only for a reason', (peer) => {
    const looser = safeIds.filter(
      (id) => peers[id]?.[peer] === 'refused' && rightlyAccepted[id] === undefined,
    )
    expect(looser).toEqual([])
  })

  test('what ours accepts, qemu-img opens, as the same format and size', () => {
    for (const id of safeIds) {
      const { format, virtualSizeBytes = -1 } = expected[id] ?? { format: '?' }
      const { qemu, qemuSize } = peers[id] ?? { qemu: '?' }
      // What shows only at the end is raw for a probe that looks at the start.
      if (format === 'vhd' && qemu === 'raw') continue
      // The size of a VHD is its current size, where qemu-img may go by the geometry.
      const size = format === 'vhd' ? qemuSize : Math.ceil(virtualSizeBytes / 512) * 512
      expect([id, qemu, qemuSize]).toEqual([id, qemuNames[format] ?? format, size])
    }
  })
})

/** What qemu-img says when it may choose the format itself, with limits: some images would keep it busy. */
async function probe(file: string): Promise<{ readonly qemu: string; readonly qemuSize?: number }> {
  const limits = ['--cpu=10', `--as=${2 ** 30}`, '--']
  try {
    const { stdout } = await run('prlimit', [...limits, 'qemu-img', 'info', '--output=json', file])
    const info = JSON.parse(stdout) as { readonly format: string; readonly 'virtual-size': number }
    return { qemu: info.format, qemuSize: info['virtual-size'] }
  } catch {
    return { qemu: 'fails' }
  }
}

describe("compared with qemu-img's own probing, now", () => {
  test.each(ids)('%s', async (id) => {
    const { stdout } = await run('qemu-img', ['--version'])
    const live = await probe(fileOf(id))
    const { qemu = '?', qemuSize } = peers[id] ?? {}
    // The record is of qemu 7.2; of another one, that it takes what ours calls safe must be true.
    const recorded = { qemu, ...(qemuSize === undefined ? {} : { qemuSize }) }
    const isRecorded = stdout.includes(' 7.2')
    expect(isRecorded ? live : recorded).toEqual(recorded)
    expect(expected[id]?.safe === true && live.qemu === 'fails').toBe(false)
  })
})

describe('no change of an image of the corpus does harm', () => {
  const all = allSeeds()

  test.each(ids.map((id, index) => [id, index] as const))('%s', async (id, index) => {
    const handle = await open(fileOf(id))
    const { size } = await handle.stat()
    const { buffer: bytes } = await handle.read(new Uint8Array(Math.min(size, mostBytes)), { position: 0 })
    await handle.close()
    const { format = '' } = expected[id] ?? {}
    const known = all.find((seed) => seed.format === format)?.interesting ?? []
    const inside = known.filter(([, to]) => to <= bytes.length)
    const seed = { name: id, format, bytes: bytes.slice(), interesting: [...inside, [0, 512] as const] }
    const image = new MutableImage(bytes)
    const random = new Random(7919 * (index + firstSeed))
    const wrong: string[] = []
    for (let count = 0; count < mutations; count += 1) {
      mutateInPlace(image, seed, all, random)
      const { found } = await judge(image.bytes, count % 8 === 0 ? random.below(image.size + 1) : undefined)
      for (const problem of found) wrong.push(`${count}: ${problem}`)
      image.restore()
    }
    expect(wrong).toEqual([])
  })
})
