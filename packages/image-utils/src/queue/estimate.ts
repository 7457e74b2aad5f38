import { type ImageRecord, MiB, toQemuFormat } from '@disk-image/core'
import { isXenserverFormat } from '@disk-image/vhd'
import { hasSignature } from '../image-to-volume/job.ts'
import type { ImageToVolumeRequest } from '../image-to-volume/request.ts'

/** Bytes of memory that one transfer takes while it runs: its ring, its threads and their heaps. */
export const transferMemoryBytes: number = 32 * MiB

/** What a transfer will take, as far as the image's record tells. */
export interface TransferEstimate {
  /** Bytes in the folder for temporary files. */
  readonly temporaryBytes: number
  /** Whether the stored bytes in a file would do for it, so that several can share one download. */
  readonly shareable: boolean
}

/** How much larger than its archive the content of a compressed image is taken to be, where nothing says more. */
const assumedRatio = 4

/**
 * Estimates from the record alone, with the larger of two answers where it leaves both open.
 *
 * @param verifiesSignatures whether signatures that images carry are verified
 */
export function estimateTransfer(
  record: ImageRecord,
  request: ImageToVolumeRequest,
  verifiesSignatures: boolean,
): TransferEstimate {
  const sizeBytes = typeof record.size === 'number' && record.size > 0 ? record.size : 0
  if (isXenserverFormat(record)) return { temporaryBytes: sizeBytes * assumedRatio, shareable: false }
  const strict = request.verifyBeforeWrite ?? (verifiesSignatures && hasSignature(record))
  const rawVolume = toQemuFormat(request.volumeFormat ?? 'raw') === 'raw'
  const isRaw = toQemuFormat(record.disk_format ?? '') === 'raw'
  const streams = rawVolume && isRaw && !strict && request.runAsRoot !== true
  if (record.container_format === 'compressed') {
    const volumeBytes = (request.volumeSizeGiB ?? 0) * 1024 * MiB
    const decodedBytes = volumeBytes > 0 ? volumeBytes : sizeBytes * assumedRatio
    return { temporaryBytes: streams ? 0 : decodedBytes, shareable: false }
  }
  return { temporaryBytes: streams ? 0 : sizeBytes, shareable: true }
}
