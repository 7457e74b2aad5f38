import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { silentLogger } from '@disk-image/core'
import { layoutHeadBytes } from '@disk-image/disk/layouts'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { expect, test } from 'vitest'
import { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import type { Job } from './job.ts'
import { OverlappedDecode } from './overlapped-decode.ts'
import type { FileTarget } from './receive.ts'

/** The head of an empty disk of 1 MiB in clusters of 64 KiB. */
function emptyHead(): Uint8Array {
  const head = Buffer.alloc(layoutHeadBytes)
  head.write('QFI\xfb', 'latin1')
  head.writeUInt32BE(3, 4)
  head.writeUInt32BE(16, 20)
  head.writeBigUInt64BE(1024n ** 2n, 24)
  head.writeUInt32BE(1, 36)
  head.writeBigUInt64BE(0x30000n, 40)
  head.writeBigUInt64BE(0x10000n, 48)
  head.writeUInt32BE(1, 56)
  head.writeUInt32BE(4, 96)
  head.writeUInt32BE(104, 100)
  return head
}

test('a temporary file that fails while the volume is being opened leaves no volume', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-overlapped-'))
  try {
    await writeFile(path.join(directory, 'spool'), '')
    const failure = new Error('no room')
    const file: FileTarget = {
      path: path.join(directory, 'spool'),
      keep: () => Promise.reject(failure),
      sink: { write: () => Promise.reject(failure), writeAt: () => Promise.reject(failure) },
      finish: () => Promise.reject(failure),
    }
    const request = { volume: path.join(directory, 'volume') }
    const job = { request, target: { lengthBytes: 0 }, call: {}, throttle: {}, imageId: 'i' }
    const operation = Cleanup.around(silentLogger, async (cleanup) => {
      const judged = { virtualSizeBytes: 1024 ** 2 } as InspectionResult
      const { sink } = OverlappedDecode.begin({} as Toolbox, job as unknown as Job, cleanup, file, judged)
      await sink.write(emptyHead())
    })
    await expect(operation).rejects.toBe(failure)
    // Whatever was still being opened would be there by now.
    await setTimeout(200)
    expect(await readdir(directory)).toEqual(['spool'])
  } finally {
    await rm(directory, { recursive: true })
  }
})
