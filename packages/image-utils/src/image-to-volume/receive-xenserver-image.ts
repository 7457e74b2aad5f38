import path from 'node:path'
import { createInspector, inspect, type InspectionResult } from '@disk-image/format-policy/inspector'
import { openVolume, type Volume } from '@disk-image/host'
import { Channel, type SparseSink } from '@disk-image/io'
import { type ArchiveWarning, extractXenserverArchive, openXenserverDecoder } from '@disk-image/vhd'
import { withFileReader } from '../files/file-reader.ts'
import { checkAvailableSpace, withSpace } from '../judge/space.ts'
import type { Route } from '../route/route.ts'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { volumeOptions } from '../write/write-disk.ts'
import { checkInspection } from './check-inspection.ts'
import { sinkOnto } from './decode-onto-volume.ts'
import { type Downloaded, downloadInto } from './download-into.ts'
import { InspectingSink } from './inspecting-sink.ts'
import { checkFits, fileNamePart, type Job } from './job.ts'
import type { Received } from './receive.ts'

/**
 * A XenServer archive: decoded onto a raw volume while it arrives, or unpacked into a folder, as its route says. Nothing
 * is coalesced on disk; the chain is read as the one disk that it is.
 */
export function receiveXenserverImage(
  services: Services,
  job: Job,
  route: Route,
  cleanup: Cleanup,
): Promise<Received> {
  const { temporaryFiles } = services
  const folder = async (): Promise<string> => {
    const made = await temporaryFiles.temporaryDirectory({
      prefix: `image_vhd_${fileNamePart(job.imageId)}_`,
    })
    cleanup.always(() => made[Symbol.asyncDispose]())
    return made.path
  }
  const receive = route.kind === 'decode' ? decode : unpack
  const need = { path: path.join(temporaryFiles.directory, '0.vhd'), imageId: job.imageId }
  return withSpace(need, () => receive(services, job, cleanup, folder))
}

type Receive = (
  services: Services,
  job: Job,
  cleanup: Cleanup,
  folder: () => Promise<string>,
) => Promise<Received>

const decode: Receive = async (services, job, cleanup, folder) => {
  const { request, call, target, imageId } = job
  let volume: Volume | undefined
  let onto: SparseSink | undefined
  let inspection: InspectionResult | undefined
  const decoder = openXenserverDecoder({
    signal: call.signal,
    writeZeros: target.writesZeros,
    folder,
    onSize: async (sizeBytes) => {
      checkFits(sizeBytes, request.volumeSizeGiB, imageId)
      const opened = await openVolume(request.volume, { sizeBytes, ...volumeOptions(services, job) })
      cleanup.always(() => opened.close())
      // The decoder leaves out what is zero; of a device that has to be made true first.
      if (!target.writesZeros) await opened.zero(0, sizeBytes)
      volume = opened
      onto = sinkOnto(job, opened)
    },
    target: {
      write: async (chunk, offset) => onto?.writeAt(chunk, offset),
      zero: async (offset, length) => onto?.zeroAt(offset, length),
    },
    inspect: (sink) => {
      const inspecting = new InspectingSink(createInspector(), 0, async (head) => {
        checkInspection(services, job, head, 'head')
        const write = async (chunk: Uint8Array): Promise<void> => sink.write(chunk)
        return { write, writeAt: write }
      })
      return {
        write: (chunk) => inspecting.write(chunk),
        end: async () => {
          inspection = await inspecting.end()
          checkInspection(services, job, inspection, 'whole')
          await sink.end()
        },
      }
    },
  })
  cleanup.onFailure(() => decoder.close())
  const downloaded = await downloadInto(services, job, decoder)
  const decoded = await decoder.end()
  if (volume === undefined || onto === undefined || inspection === undefined) {
    throw new Error('the decoder has shown no disk')
  }
  // A disk consists of whole sectors.
  const virtualSizeBytes = Math.ceil(decoded.virtualSizeBytes / 512) * 512
  await volume.commit(virtualSizeBytes)
  // Before all is said to be well: on a network file system closing can fail for what was written.
  await volume.close()
  const result = { kind: 'on-volume', bytesWritten: onto.written, virtualSizeBytes } as const
  return receivedOf(downloaded, { inspection, virtualSizeBytes, warnings: decoded.warnings, result })
}

const unpack: Receive = async (services, job, _cleanup, folder) => {
  const { directory } = services.temporaryFiles
  const place = await folder()
  if (typeof job.record.size === 'number') await checkAvailableSpace(directory, job.record.size, job.imageId)
  const bytes = new Channel()
  const extracting = extractXenserverArchive(bytes, place, { ...job.call, durable: false }).finally(() =>
    bytes.leave(new Error('The archive is not read any more')),
  )
  extracting.catch(() => undefined)
  const downloaded = await downloadInto(services, job, bytes).then(
    (download) => {
      bytes.end()
      return download
    },
    async (error: unknown) => {
      const refused = bytes.abandoned
      bytes.end(error)
      // The archive's refusal says more than the download that it ended.
      if (refused) await extracting
      throw error
    },
  )
  const { chain, virtualSizeBytes, warnings } = await extracting
  checkFits(virtualSizeBytes, job.request.volumeSizeGiB, job.imageId)
  const [leaf = ''] = chain
  const inspection = await withFileReader(chain.at(-1) ?? leaf, (reader) => inspect(reader))
  checkInspection(services, job, inspection, 'whole')
  const result = { kind: 'in-file', path: leaf, chain } as const
  return receivedOf(downloaded, { inspection, virtualSizeBytes, warnings, result })
}

function receivedOf(
  downloaded: Downloaded,
  found: Pick<Received, 'inspection' | 'virtualSizeBytes' | 'result'> & {
    readonly warnings: readonly ArchiveWarning[]
  },
): Received {
  const odd = found.warnings.map(({ member, rule, reason, found: value }) => ({
    rule,
    reason: `${member} of the archive: ${reason}.`,
    found: value,
  }))
  return {
    ...downloaded,
    ...found,
    format: 'vpc',
    bytes: downloaded.report.bytes,
    warnings: [...downloaded.warnings, ...odd],
  }
}
