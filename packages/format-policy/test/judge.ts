import { inspect, type InspectionResult } from '@disk-image/format-policy/inspector'
import { failed, inspectBytes } from './support.ts'

/** Tail, metadata and what lies across their borders may be read again. */
const readAgainBytes = 262_144
/** In the first MiB tables may lie over each other; each kind of table is read once. */
const headBytes = 1_048_576

/** What holds for every verdict; what doesn't, in words. */
export function problems(result: InspectionResult, size: number): string[] {
  const found: string[] = []
  const texts = [...result.checks.flatMap((check) => [check.found ?? '']), ...Object.values(result.details)]
  for (const text of texts) {
    if (typeof text === 'string' && (text.length > 200 || /[^\x20-\x7e…]/.test(text)))
      found.push(`shows ${text}`)
  }
  if (!result.complete || result.fileSizeBytes !== size) found.push('is not complete')
  if (result.safe !== (failed(result).length === 0)) found.push('contradicts its checks')
  if (result.safe && result.virtualSizeBytes === undefined) found.push('is safe without a size')
  if (result.safe && result.details.backingFile !== undefined) found.push('is safe with a backing file')
  if (result.checks.some((check) => !check.ok && check.reason === undefined)) found.push('gives no reason')
  return found
}

/** Bytes that are read where they are, and how much was. */
class Counter {
  readonly size: number
  reads = 0
  bytesRead = 0
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.size = bytes.length
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = this.#bytes.subarray(offset, offset + length)
    this.reads += 1
    this.bytesRead += bytes.length
    return Promise.resolve(bytes)
  }
}

/** Judges an image that is in memory; with what is wrong about the verdict or about how it was reached. */
export async function judge(
  bytes: Uint8Array,
  cut?: number,
): Promise<{ readonly result: InspectionResult; readonly found: readonly string[] }> {
  const reader = new Counter(bytes)
  const result = await inspect(reader)
  const found = problems(result, bytes.length)
  const most = bytes.length + 2 * Math.min(bytes.length, headBytes) + readAgainBytes
  if (reader.bytesRead > most) found.push(`read ${reader.bytesRead} bytes`)
  if (reader.reads > 64 + bytes.length / 512) found.push(`read ${reader.reads} times`)
  if (cut !== undefined && JSON.stringify(inspectBytes(bytes, [cut])) !== JSON.stringify(result)) {
    found.push(`another verdict as a stream cut at ${cut}`)
  }
  return { result, found }
}
