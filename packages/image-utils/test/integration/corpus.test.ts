import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { InvalidError } from '@disk-image/core'
import { campaign } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
import { buildCorpus, differenceOf, differences, fingerprint, serveFile, verdicts } from './corpus.ts'
import { createWorkspace, makeFlatDescriptor, sha256, tool, type Workspace } from './support.ts'

const GiB = 1024 ** 3
/**
 * Raw images of 1 TiB: their bytes all come over the line, zeroes or not. That takes minutes, so it is done with
 * DISK_IMAGE_ENDLESS=1 only; otherwise only what is refused by the head is asked of them.
 */
const endless = new Set(['raw-sparse-1t', 'raw-sparse-1t-odd'])
const withEndless = process.env['DISK_IMAGE_ENDLESS'] !== undefined

let work: Workspace
let fileOf: (id: string) => string

beforeAll(async () => {
  work = await createWorkspace()
  fileOf = await buildCorpus(work.file('corpus'))
})
afterAll(() => work[Symbol.asyncDispose]())

const facades = new Map<string, ReturnType<typeof createImageUtils>>()

/** One for each folder, as a process has it: each asks once which tools there are, and what they can. */
function facadeOf(name: string): ReturnType<typeof createImageUtils> {
  const dependencies = { imageService: work.store }
  const options = {
    imageConversionDir: `${work.conversionDir}-${name}`,
    allowCompressionOnImageUpload: true,
  }
  const facade = facades.get(name) ?? createImageUtils(dependencies, options)
  facades.set(name, facade)
  return facade
}

/** What a declared format comes to: `SIZE HASH` of the disk, or the refusal. */
async function fetchAs(...request: Parameters<typeof fetchOnce>): Promise<string | Error> {
  const result = await fetchOnce(...request)
  const left = await readdir(`${work.conversionDir}-${request[2]}`).catch(() => [])
  return left.length > 0 ? new Error(`left behind: ${left.join(', ')}`) : result
}

async function fetchOnce(
  file: string,
  diskFormat: string,
  name: string,
  options: { readonly size?: number; readonly containerFormat?: string; readonly signal?: AbortSignal } = {},
): Promise<string | Error> {
  const { size: bytes } = await stat(file)
  const metadata = { disk_format: diskFormat, container_format: options.containerFormat ?? 'bare' }
  const service = serveFile(file, metadata, bytes)
  const imageUtils = facadeOf(name)
  const volume = work.file(`volume-${name}`)
  try {
    const { size, signal } = options
    await imageUtils.fetchToRaw({}, service, 'corpus', volume, '1M', { runAsRoot: false, size, signal })
    return await fingerprint(volume)
  } catch (error) {
    const left = await stat(volume).then(
      () => 'the volume is left',
      () => '',
    )
    return left === '' ? (error as Error) : new Error(left)
  } finally {
    await rm(volume, { force: true })
  }
}

/** What differs from what ought to be, or undefined. */
async function compare(
  id: string,
  format: string,
  verdict: string,
  name: string,
): Promise<string | undefined> {
  const got = await fetchAs(fileOf(id), format, name)
  const told = typeof got === 'string' ? got : `${got.name}: ${got.message}`
  const wrong = `${id} as ${format}: ${told}; the original: ${verdict}`
  if (got instanceof Error && !(got instanceof InvalidError)) return `foreign error: ${wrong}`
  const refused = differenceOf(differences.refused, id, format)
  if (refused !== undefined) {
    const why = refused.why === 'claimed' ? 'appears to be in a different format' : refused.why
    return got instanceof Error && got.message.includes(why) ? undefined : wrong
  }
  const other =
    differenceOf(differences.accepted, id, format) ?? differenceOf(differences.otherBytes, id, format)
  const demanded = other === undefined ? verdict : `same ${other.disk}`
  const [word, size, hash] = demanded.split(' ')
  if (word !== 'same') return got instanceof Error ? undefined : wrong
  const source = hash === 'source' ? (await fingerprint(fileOf(id))).split(' ')[1] : hash
  const sameSize = typeof got === 'string' && got.split(' ')[0] === size
  return sameSize && (source === 'any' || got === `${size} ${source}`) ? undefined : wrong
}

describe('every image of the corpus, declared as every format', () => {
  const cases = Object.entries(verdicts).flatMap(([id, { fetch }]) =>
    Object.entries(fetch).flatMap(([verdict, formats]) =>
      formats
        .split(' ')
        .filter(() => withEndless || !(endless.has(id) && verdict.startsWith('same')))
        .map((format) => ({ id, format, verdict })),
    ),
  )

  /** Each third of them; all with `pnpm fuzz fetches`. */
  const { seed: first, runs: every } = campaign(3, 1)

  test(
    'gives the same bytes, or is refused; nothing of the host comes out, and nothing is left',
    async () => {
      expect(cases.length).toBe(withEndless ? 2790 : 2784)
      const problems: string[] = []
      const queue = cases.filter((_, index) => index % every === first % every).values()
      const lane = async (name: string): Promise<void> => {
        for (const { id, format, verdict } of queue) {
          const problem = await compare(id, format, verdict, name)
          if (problem !== undefined) problems.push(problem)
        }
      }
      await Promise.all(['a', 'b', 'c'].map(lane))
      expect(problems).toEqual([])
      const count = (list: readonly { readonly formats: readonly string[] }[]): number =>
        list.reduce((sum, { formats }) => sum + formats.length, 0)
      console.info(
        `corpus: ${Math.round(cases.length / every)} fetches as demanded; on purpose ${count(differences.refused)} refused, ` +
          `${count(differences.accepted)} accepted and ${count(differences.otherBytes)} read otherwise than by the original`,
      )
    },
    withEndless ? 3_600_000 : 400_000,
  )

  test('compressed containers give the same, decoded on their way', async () => {
    const problems: string[] = []
    for (const [id, { compressed = {} }] of Object.entries(verdicts)) {
      for (const [format, verdict] of Object.entries(compressed)) {
        const got = await fetchAs(fileOf(id), format, 'gz', { containerFormat: 'compressed' })
        // What is decoded is a tar, which is no disk.
        if (id === 'tgz-of-vhd-chain' && format === 'raw' && got instanceof InvalidError) continue
        const same =
          got instanceof InvalidError ? !verdict.startsWith('same') : `same ${String(got)}` === verdict
        if (!same) problems.push(`${id} as ${format}: ${String(got)}; the original: ${verdict}`)
      }
    }
    expect(problems).toEqual([])
  }, 60_000)

  test('an image that takes long is refused by the volume’s size at once, and ended by an abort', async () => {
    for (const id of endless) {
      const got = await fetchAs(fileOf(id), 'raw', 'slow', { size: 1 })
      expect(String(got)).toContain("doesn't fit")
      const reason = new Error('enough')
      const abort = new AbortController()
      setTimeout(() => abort.abort(reason), 1500)
      expect(await fetchAs(fileOf(id), 'raw', 'slow', { signal: abort.signal })).toBe(reason)
    }
  }, 60_000)
})

describe('what a guest wrote onto its volume is uploaded as the bytes that it is', () => {
  /** Those that a tool would open as something else, and every sixth of the others. */
  const ids = Object.entries(verdicts)
    .filter(([id]) => !endless.has(id))
    .filter(([, { upload }], index) => upload === 'other' || index % 6 === 0)
    .map(([id]) => id)

  test('as qcow2', async () => {
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir, imageCompressOnUpload: false },
    )
    const problems: string[] = []
    for (const id of ids) {
      const image = await work.store.create({}, { disk_format: 'qcow2', container_format: 'bare' })
      await imageUtils.uploadVolume({}, undefined, image, fileOf(id), { runAsRoot: false })
      const data = `${work.directory}/store/${image.id}.data`
      const guest = work.file('guest')
      await tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', data, guest)
      const [size, hash] = (await fingerprint(guest)).split(' ')
      const volume = (await fingerprint(fileOf(id))).split(' ')
      const whole = Math.ceil(Number(volume[0]) / 512) * 512
      if (hash !== volume[1] || Number(size) !== whole) problems.push(id)
      await work.store.delete({}, image.id)
    }
    expect(problems).toEqual([])
    expect(ids.length).toBeGreaterThan(60)
  }, 300_000)
})

describe('a text that names a file of the host', () => {
  const hostFile = '/etc/passwd'

  test.each(['raw', 'iso', 'ami', 'vmdk', 'qcow2'])('is refused as %s', async (format) => {
    for (const name of ['plain', 'padded']) {
      const file = work.file(`descriptor-${name}`)
      await makeFlatDescriptor(file, hostFile)
      if (name === 'padded') await tool('truncate', '-s', '1M', file)
      expect(await fetchAs(file, format, 'text')).toBeInstanceOf(InvalidError)
    }
  })

  test.each(['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi', 'vhd', 'iso'])(
    'is uploaded as itself where the volume holds it, as %s',
    async (format) => {
      const volume = work.file('descriptor-volume')
      await makeFlatDescriptor(volume, hostFile)
      await tool('truncate', '-s', '4M', volume)
      const imageUtils = createImageUtils(
        { imageService: work.store },
        { imageConversionDir: work.conversionDir },
      )
      const image = await work.store.create({}, { disk_format: format, container_format: 'bare' })
      await imageUtils.uploadVolume({}, undefined, image, volume, { runAsRoot: false })
      const data = `${work.directory}/store/${image.id}.data`
      const guest = work.file('guest')
      await tool('qemu-img', 'convert', '-f', imageUtils.fixupDiskFormat(format), '-O', 'raw', data, guest)
      expect(await sha256(guest)).toBe(await sha256(volume))
      const stored = await readFile(data)
      expect(stored.includes('root:x:0:0')).toBe(false)
    },
  )

  test.each(['qcow1-backing-short-file', 'qcow2-tiny-300-data-file-passwd', 'vmdk-footer-parent-passwd'])(
    '%s is refused whatever it is declared as',
    async (id) => {
      for (const format of ['raw', 'ami', 'iso', 'qcow2', 'vmdk']) {
        expect(await fetchAs(fileOf(id), format, 'named')).toBeInstanceOf(InvalidError)
      }
      // Within a gzip too.
      const packed = work.file('packed.gz')
      await writeFile(packed, gzipSync(await readFile(fileOf(id))))
      for (const format of ['raw', 'ami', 'qcow2']) {
        const got = await fetchAs(packed, format, 'named', { containerFormat: 'compressed', size: 4 })
        expect(got).toBeInstanceOf(InvalidError)
      }
    },
  )
})

test('a disk larger than the volume is refused before it is written', async () => {
  const got = await fetchAs(fileOf('qcow2-5g-virtual'), 'qcow2', 'large', { size: 4 })
  expect(got).toBeInstanceOf(InvalidError)
  const sparse = work.file('sparse.raw')
  await tool('truncate', '-s', String(5 * GiB), sparse)
  expect(await fetchAs(sparse, 'raw', 'large', { size: 4 })).toBeInstanceOf(InvalidError)
})
