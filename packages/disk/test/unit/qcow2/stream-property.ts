import { rm, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { planQcow2, Qcow2DecodeError } from '@disk-image/disk/qcow2'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import { arbitraryImage, arbitraryPace } from './arbitrary-image.ts'
import { decodeStreamed, decodeWhole, diskOf } from './decode-both.ts'

/** Asserts that a stream in any chunks comes to what its file comes to. @returns how many images were decoded, or refused */
export async function checkAnyStream(numRuns: number): Promise<{ decoded: number; refused: number }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
  const counts = { decoded: 0, refused: 0 }
  const property = fc.asyncProperty(
    arbitraryImage,
    arbitraryPace,
    fc.nat(70_000),
    fc.boolean(),
    fc.boolean(),
    async (bytes, lengths, before, fromStart, writeZeros) => {
      const plan = planQcow2(bytes, { maximumSizeBytes: 2 ** 26 })
      if (!plan.supported && bytes.byteLength > 0) return
      let turn = 0
      const step = (): number => lengths[(turn += 1) % lengths.length] ?? 1
      const fileBytes = fromStart ? 0 : Math.min(before, bytes.byteLength)
      const whole = await decodeWhole(path.join(directory, 'whole.qcow2'), bytes)
      const streamed = await decodeStreamed(path.join(directory, 'stream.qcow2'), bytes, {
        step,
        fileBytes,
        writeZeros,
      })
      // A stream claims some places earlier, and may so find the other one of two faults first.
      if (whole instanceof Qcow2DecodeError) expect(streamed).toBeInstanceOf(Qcow2DecodeError)
      else expect(diskOf(streamed)).toEqual(diskOf(whole))
      counts[whole instanceof Qcow2DecodeError ? 'refused' : 'decoded'] += 1
    },
  )
  try {
    await fc.assert(property, { numRuns })
    return counts
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
