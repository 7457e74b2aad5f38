import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { MutableImage, Patch } from '../build/mutable-image.ts'
import type { Seed } from '../build/seeds.ts'

/** An image to go on from: a seed, what was changed in it, and where it was cut. */
export interface Variant {
  readonly seed: Seed
  readonly patches: readonly Patch[]
  readonly size: number
}

interface Stored {
  readonly seed: string
  readonly size: number
  readonly patches: readonly { readonly at: number; readonly base64: string }[]
}

/** Puts a variant's changes into the seed's image. */
export function apply(image: MutableImage, { patches, size }: Variant): void {
  for (const { at, bytes } of patches) image.put(at, bytes)
  image.cut(size)
}

/** Keeps a variant in a folder, by a name of its own. */
export async function save(folder: string, { seed, patches, size }: Variant): Promise<void> {
  await mkdir(folder, { recursive: true })
  const stored: Stored = {
    seed: seed.name,
    size,
    patches: patches.map(({ at, bytes }) => ({ at, base64: Buffer.from(bytes).toString('base64') })),
  }
  const text = JSON.stringify(stored)
  const name = createHash('sha256').update(text).digest('hex').slice(0, 16)
  await writeFile(path.join(folder, `${seed.name}-${name}.json`), text)
}

/** What an earlier run kept, of the seeds that there still are. */
export async function load(folder: string, seeds: readonly Seed[]): Promise<Variant[]> {
  await mkdir(folder, { recursive: true })
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json'))
  const variants: Variant[] = []
  for (const name of names) {
    const { seed, size, patches } = JSON.parse(await readFile(path.join(folder, name), 'utf8')) as Stored
    const found = seeds.find((one) => one.name === seed)
    if (found === undefined) continue
    const restored = patches.map(({ at, base64 }) => ({
      at,
      bytes: new Uint8Array(Buffer.from(base64, 'base64')),
    }))
    variants.push({ seed: found, size, patches: restored })
  }
  return variants
}
