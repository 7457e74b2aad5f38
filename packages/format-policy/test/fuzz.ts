/**
 * Changes images for as long as you like and looks at what the inspector makes of them.
 *
 *     pnpm exec node --conditions=@disk-image/source packages/format-policy/test/fuzz.ts [--seconds 60] [--seed 1] [--qemu]
 *
 * A changed image that gets a new verdict becomes a seed itself, so the search goes where new branches are.
 * With `--qemu` every hundredth image that is called safe is opened by qemu-img under strace, and must open no
 * other file and have the same size. Ends with code 1 at the first finding, and keeps the image.
 */
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { mutate, Random } from './build/mutate.ts'
import { type Seed, seeds } from './build/seeds.ts'
import { checkSoundness } from './soundness.ts'
import { failed, inspectBytes, temporaryDirectory } from './support.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    qemu: { type: 'boolean', default: false },
  },
})
const random = new Random(Number(values.seed))
const pool: Seed[] = [...seeds()]
const known = new Set<string>()
const end = Date.now() + Number(values.seconds) * 1000
await using directory = await temporaryDirectory()
let count = 0
let opened = 0
let slowestMs = 0
let safe = 0
const startMemory = process.memoryUsage().arrayBuffers

async function finding(what: string, bytes: Uint8Array): Promise<never> {
  const file = path.join(tmpdir(), `disk-image-finding-${values.seed}-${count}.img`)
  await writeFile(file, bytes)
  console.error(`${what}\nimage ${count} of seed ${values.seed}: ${file}`)
  process.exit(1)
}

while (Date.now() < end) {
  const seed = random.pick(pool)
  const bytes = mutate(seed, pool, random)
  count += 1
  const start = performance.now()
  try {
    const result = inspectBytes(bytes)
    slowestMs = Math.max(slowestMs, performance.now() - start)
    const cut = random.below(bytes.length + 1)
    if (JSON.stringify(inspectBytes(bytes, [cut])) !== JSON.stringify(result)) {
      await finding(`The verdict depends on a cut at ${cut}`, bytes)
    }
    const kind = [
      result.format,
      result.contentName,
      ...failed(result),
      ...result.checks.map((check) => check.reason),
    ].join('|')
    if (!known.has(kind) && pool.length < 3000 && bytes.length > 0) {
      known.add(kind)
      pool.push({ name: seed.name, bytes, interesting: seed.interesting })
    }
    if (result.safe) safe += 1
    if (values.qemu && result.safe && safe % 100 === 0) {
      opened += 1
      const problem = await checkSoundness(directory.path, bytes, result)
      if (problem !== undefined) await finding(problem, bytes)
    }
  } catch (error) {
    await finding(`The inspector threw: ${String(error)}`, bytes)
  }
}
const grown = (process.memoryUsage().arrayBuffers - startMemory) / 1024 ** 2
console.log(
  `${count} images, ${known.size} kinds of verdict, ${safe} safe, ${opened} opened by qemu-img, ` +
    `slowest ${slowestMs.toFixed(1)} ms, ${grown.toFixed(0)} MiB of buffers more, seed ${values.seed}`,
)
