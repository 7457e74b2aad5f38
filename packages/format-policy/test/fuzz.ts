/**
 * Changes images for as long as you like and looks at what the inspector makes of them, led by coverage: what
 * reaches code that nothing reached before, or gets a verdict that nothing got before, is changed further.
 *
 *     pnpm fuzz inspector [--format qcow2] [--corpus FOLDER] [--findings FOLDER] [--image FILE]
 *
 * Findings: an exception, a verdict that contradicts itself or depends on how the bytes arrive, a slow one,
 * too many reads. Every tenth image that is called safe is opened by qemu-img under strace, and must open no other
 * file and have the same size; and OpenStack's own inspector must not refuse it. Each kind of finding is kept once, as an image, which `--image` judges again.
 * A corpus folder takes what led further, for the next time.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { allSeeds } from './build/more-seeds.ts'
import { MutableImage } from './build/mutable-image.ts'
import { mutateInPlace } from './build/mutate.ts'
import { Random } from './build/random.ts'
import { Coverage } from './fuzz/coverage.ts'
import { apply, load, save, type Variant } from './fuzz/pool.ts'
import { Peer } from './fuzz/peer.ts'
import { judge } from './judge.ts'
import { checkSoundness } from './soundness.ts'
import { failed, temporaryDirectory } from './support.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    format: { type: 'string' },
    corpus: { type: 'string' },
    image: { type: 'string' },
    'go-on': { type: 'boolean', default: false },
    findings: { type: 'string', default: path.join(tmpdir(), 'disk-image-findings') },
  },
})
/** Images between two looks at the coverage, each of which costs as much as ten images. */
const batch = 100
const slowMs = 2000
const mostInPool = 20_000

const all = allSeeds()
const chosen = all.filter((seed) => values.format === undefined || seed.format === values.format)
if (chosen.length === 0) throw new TypeError(`no format ${values.format}`)
const images = new Map(chosen.map((seed) => [seed.name, new MutableImage(seed.bytes.slice())]))
const random = new Random(Number(values.seed))
const pool: Variant[] = chosen.map((seed) => ({ seed, patches: [], size: seed.bytes.length }))
if (values.corpus !== undefined) pool.push(...(await load(values.corpus, chosen)))
const verdicts = new Set<string>()
const findings = new Map<string, string>()
await using directory = await temporaryDirectory()
using coverage = new Coverage()
using peer = new Peer()
const totals = { images: 0, safe: 0, opened: 0, slowestMs: 0 }

async function finding(what: string, bytes: Uint8Array): Promise<void> {
  // Numbers differ from image to image; the kind of the finding doesn't.
  const kind = what.replaceAll(/\d+/g, 'N').slice(0, 200)
  if (findings.has(kind)) return
  await mkdir(values.findings, { recursive: true })
  const file = path.join(values.findings, `${values.seed}-${totals.images}.img`)
  await writeFile(file, bytes)
  findings.set(kind, file)
  console.error(`${what}\n  ${file}`)
  process.send?.({ failed: `--image ${file}` })
}

/** Judges what the image holds. True if the verdict is one that was not there before. */
async function look(bytes: Uint8Array): Promise<boolean> {
  const cut = random.below(16) === 0 ? random.below(bytes.length + 1) : undefined
  const start = performance.now()
  try {
    const { result, found } = await judge(bytes, cut)
    const took = performance.now() - start
    totals.slowestMs = Math.max(totals.slowestMs, took)
    if (took > slowMs) await finding(`took ${took.toFixed(0)} ms`, bytes)
    for (const problem of found) await finding(problem, bytes)
    if (result.safe) totals.safe += 1
    if (result.safe && result.format !== 'raw' && (values.image !== undefined || random.below(10) === 0)) {
      totals.opened += 1
      const problem = await checkSoundness(directory.path, bytes, result)
      if (problem !== undefined) await finding(`${result.format}: ${problem}`, bytes)
      const difference = await peer.compare(path.join(directory.path, 'image'), result)
      if (difference !== undefined) await finding(difference, bytes)
    }
    const verdict = [result.format, result.contentName, ...result.matches, ...failed(result)].join('|')
    if (verdicts.has(verdict)) return false
    verdicts.add(verdict)
    return true
  } catch (error) {
    await finding(`The inspector threw: ${error instanceof Error ? error.stack : String(error)}`, bytes)
    return false
  }
}

async function keep(variant: Variant): Promise<void> {
  if (pool.length < mostInPool) pool.push(variant)
  if (values.corpus !== undefined) await save(values.corpus, variant)
}

async function judgeAgain(variant: Variant): Promise<void> {
  const image = images.get(variant.seed.name)
  if (image === undefined) return
  apply(image, variant)
  try {
    await judge(image.bytes)
  } catch {
    // It was found already.
  }
  image.restore()
}

/** Finds those among the variants that reach something new, by halves, and keeps them. */
async function keepNew(variants: readonly Variant[]): Promise<void> {
  const [first] = variants
  if (first === undefined) return
  coverage.skip()
  for (const variant of variants) await judgeAgain(variant)
  if (variants.length === 1) {
    if (coverage.hasNew(true)) await keep(first)
  } else if (coverage.hasNew()) {
    await keepNew(variants.slice(0, variants.length >> 1))
    await keepNew(variants.slice(variants.length >> 1))
  }
}

if (values.image === undefined) await goOn(Date.now() + Number(values.seconds) * 1000)
else await look(await readFile(values.image))

/** One batch at least. */
async function goOn(end: number): Promise<void> {
  for (const variant of pool.slice()) await judgeAgain(variant)
  coverage.hasNew(true)
  do {
    const tried: Variant[] = []
    coverage.skip()
    for (let count = 0; count < batch; count += 1) {
      // What was found last is tried more often: it has had the fewest chances.
      const recent = random.below(2) === 0 ? Math.min(pool.length, 200) : pool.length
      const variant = pool[pool.length - 1 - random.below(recent)]
      const image = variant === undefined ? undefined : images.get(variant.seed.name)
      if (variant === undefined || image === undefined) continue
      apply(image, variant)
      mutateInPlace(image, variant.seed, all, random)
      totals.images += 1
      const made = { seed: variant.seed, patches: image.changes(), size: image.size }
      if (await look(image.bytes)) await keep(made)
      tried.push(made)
      image.restore()
    }
    if (coverage.hasNew()) await keepNew(tried)
    if (findings.size > 0 && !values['go-on']) return
  } while (Date.now() < end)
}

const counts = {
  ...totals,
  slowestMs: Math.round(totals.slowestMs),
  mostCode: coverage.size,
  verdicts: verdicts.size,
  failures: findings.size,
}
console.log(JSON.stringify(counts))
process.exitCode = findings.size > 0 ? 1 : 0
process.disconnect?.()
