import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { silentLogger } from '@disk-image/core'
import { planStream } from '@disk-image/disk'
import { layoutHeadBytes } from '@disk-image/disk/layouts'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { expect, test } from 'vitest'
import type { RouteLayout } from '../route/formats.ts'
import { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import type { Job } from './job.ts'
import { decodeOntoVolume, type SpoolFile } from './decode-onto-volume.ts'

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
    const spool = {
      path: path.join(directory, 'spool'),
      volume: { write: () => Promise.reject(failure) },
    } as unknown as SpoolFile
    const services = { policy: { judge: () => ({ ok: true }) }, options: {} } as unknown as Services
    const request = { volume: path.join(directory, 'volume') }
    const job = { request, target: { lengthBytes: 0, kind: 'volume' }, call: {}, throttle: {}, imageId: 'i' }
    const operation = Cleanup.around(silentLogger, async (cleanup) => {
      const judged = {
        format: 'qcow2',
        virtualSizeBytes: 1024 ** 2,
        checks: [],
      } as unknown as InspectionResult
      const plan = planStream('qcow2', emptyHead())
      expect(plan).toMatchObject({ supported: true })
      const known = { spool, plan: plan as NonNullable<RouteLayout['stream']>, judged }
      const { sink } = await decodeOntoVolume(services, job as unknown as Job, cleanup, known)
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
