import type { Volume } from './volume.ts'
import type { ZeroDetector } from './zero-detector.ts'

/** Writes a chunk's data and leaves its zeros out. */
export async function writeSparsely(
  volume: Pick<Volume, 'zero' | 'write'>,
  chunk: Uint8Array,
  offset: number,
  detector: ZeroDetector,
): Promise<{ readonly dataBytes: number }> {
  let dataBytes = 0
  for (const { start, end, zero } of detector.runs(chunk, offset)) {
    if (zero) {
      await volume.zero(offset + start, end - start)
      continue
    }
    await volume.write(
      start === 0 && end === chunk.byteLength ? chunk : chunk.subarray(start, end),
      offset + start,
    )
    dataBytes += end - start
  }
  return { dataBytes }
}
