/**
 * Prints the most that the inspector keeps of each hostile image, in bytes, as JSON. Needs
 * `--expose-gc --trace-gc --gc-global --max-semi-space-size=1 --single-threaded-gc`: then every MiB of garbage
 * makes V8 collect everything and print what is alive, in the middle of a call too.
 */
import { createInspector, inspect } from '@disk-image/format-policy/inspector'
import { type HostileImage, hostileImages, readImage } from './hostile-images.ts'

const collect = (globalThis as { gc?: () => void }).gc ?? (() => undefined)
const chunkBytes = 65536
/** Chunks between two looks; one look is a whole garbage collection. */
const chunksPerLook = 64
/** Of a long image there are fewer. */
const mostLooks = 64

/** What is alive now: objects, and array buffers outside of the heap. */
function alive(): number {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

class Peak {
  readonly #before = alive()
  bytes = 0

  look(): void {
    this.bytes = Math.max(this.bytes, alive() - this.#before)
  }
}

function asStream(image: HostileImage, kept: unknown[]): number {
  const buffer = new Uint8Array(chunkBytes)
  const perLook = Math.max(chunksPerLook, Math.ceil(image.size / chunkBytes / mostLooks))
  const peak = new Peak()
  const inspector = createInspector()
  for (let at = 0, count = 0; at < image.size; at += chunkBytes, count += 1) {
    const length = Math.min(chunkBytes, image.size - at)
    // Of 10 GiB of nothing, nothing need be made again.
    const chunk = image.fill === undefined && at > image.head.length + chunkBytes ? buffer : undefined
    const bytes = chunk?.subarray(0, length) ?? readImage(image, buffer.subarray(0, length), at)
    inspector.write(bytes)
    if (image.name === 'control: keeps buffers') kept.push(bytes.slice())
    if (image.name === 'control: keeps objects')
      kept.push(Array.from(bytes.subarray(0, 1024), (byte) => ({ byte })))
    if (count % perLook === 0 || Math.abs(at + length - 1024 ** 2) <= chunkBytes) peak.look()
  }
  inspector.end()
  peak.look()
  return peak.bytes
}

async function byReading(image: HostileImage): Promise<number> {
  let count = 0
  const peak = new Peak()
  const result = await inspect({
    size: image.size,
    async read(offset, length) {
      if (count % chunksPerLook === 0 || count < 8) peak.look()
      count += 1
      return readImage(image, new Uint8Array(Math.min(length, image.size - offset)), offset)
    },
  })
  peak.look()
  // Kept until here, as a caller would.
  return result.complete ? peak.bytes : Number.NaN
}

const control = (name: string): HostileImage => ({ name, size: 4 * 1024 ** 2, head: new Uint8Array(512) })
const warm = control('warm')
asStream(warm, [])
await byReading(warm)
for (const image of [
  ...hostileImages,
  control('control: keeps buffers'),
  control('control: keeps objects'),
]) {
  console.log(`\nBEGIN ${image.name}`)
  alive()
  const stream = asStream(image, [])
  const reading = await byReading(image)
  console.log(`\nEND ${JSON.stringify({ name: image.name, stream, reading })}`)
}
