import { toQemuFormat } from '@disk-image/core'
import { inspect } from '@disk-image/format-policy/inspector'
import type { Toolbox } from '../dependencies.ts'
import { driverOf, headBytes } from '../formats.ts'
import { withFileReader } from '../sources/file-reader.ts'
import type { Job } from './job.ts'
import { checkInspection } from './judge.ts'
import type { Received } from './receive.ts'

/** An image that was downloaded before: the path that `TemporaryImages` holds for this user. */
export async function receiveTemporaryImage(toolbox: Toolbox, job: Job, path: string): Promise<Received> {
  return withFileReader(path, async (reader) => {
    const inspection = await inspect(reader)
    checkInspection(toolbox, job, inspection, 'whole')
    return {
      inspection,
      format: toQemuFormat(driverOf(inspection)),
      bytes: reader.size,
      head: await reader.read(0, headBytes),
      report: undefined,
      signatureVerified: false,
      warnings: [],
      result: { kind: 'in-file', path },
    }
  })
}
