import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { decodeQcow2, planQcow2, Qcow2DecodeError } from '@disk-image/disk/qcow2'
import type { Qcow2DecodeResult } from '@disk-image/disk/qcow2'
import { feedStream, type Feeding } from '../../feed-stream.ts'
import { MemoryTarget } from '../../memory-target.ts'

/** What became of an image: its disk, or the error that refused it. */
export type Outcome =
  | {
      readonly raw: Buffer
      readonly virtualSizeBytes: number
      readonly clusters: Qcow2DecodeResult['clusters']
      /** 1 for each byte that went through the file; none where there was no stream. */
      readonly kept: Uint8Array
    }
  | Qcow2DecodeError

async function settle(
  bytes: Uint8Array,
  unitBytes: 1 | 512,
  writeZeros: boolean,
  decode: (
    target: MemoryTarget,
  ) => Promise<{ readonly result: Qcow2DecodeResult; readonly kept: Uint8Array }>,
): Promise<Outcome> {
  const plan = planQcow2(bytes)
  const target = new MemoryTarget(
    plan.supported ? plan.layout.sizeBytes : 0,
    unitBytes,
    writeZeros ? 0xff : 0,
  )
  try {
    const { result, kept } = await decode(target)
    if (result.bytesWritten !== target.writtenBytes) throw new Error('the bytes written are miscounted')
    if (writeZeros && !target.isComplete) throw new Error('zeros were not written')
    const { virtualSizeBytes, clusters } = result
    return { raw: target.bytes, virtualSizeBytes, clusters, kept }
  } catch (error) {
    if (error instanceof Qcow2DecodeError) return error
    throw error
  }
}

/** Decodes a file that is complete. */
export function decodeWhole(file: string, bytes: Uint8Array): Promise<Outcome> {
  return settle(bytes, 512, false, async (target) => {
    await writeFile(file, bytes)
    return { result: await decodeQcow2({ source: file, target, workers: 0 }), kept: new Uint8Array(0) }
  })
}

/** Decodes the same bytes as a stream. */
export function decodeStreamed(
  file: string,
  bytes: Uint8Array,
  feeding: Pick<Feeding, 'step' | 'fileBytes' | 'writeZeros'>,
): Promise<Outcome> {
  const { writeZeros = false } = feeding
  return settle(bytes, 1, writeZeros, (target) => feedStream({ file, bytes, target, workers: 0, ...feeding }))
}

/** Lengths of the chunks. Where they are tiny, what would be put into the file anyway is there before. */
export function pace(name: string, bytes: Uint8Array): Pick<Feeding, 'step' | 'fileBytes'> {
  if (name === 'whole') return { step: () => bytes.byteLength }
  if (name === 'uneven') {
    let turn = 0
    return { step: () => [1, 700, 300, 5000, 511, 513, 20_000][(turn += 1) % 7] ?? 1 }
  }
  const length = Number(name)
  const tiny = bytes.byteLength > 65_200 ? Math.max(65_100, bytes.byteLength - 70_000) : bytes.byteLength >> 1
  return { step: () => length, fileBytes: length < 512 ? tiny : 0 }
}
export const paces = ['1', '7', '512', '4096', '65536', 'uneven', 'whole']

/** What can be compared at a glance. */
export function diskOf(outcome: Outcome): unknown {
  if (outcome instanceof Qcow2DecodeError) return outcome
  const { raw, virtualSizeBytes, clusters } = outcome
  return { digest: createHash('sha256').update(raw).digest('hex'), virtualSizeBytes, clusters }
}
