import type { ImageToVolumeReport } from '@disk-image/image-utils'

/** The fixed shape of `fetch --json`. */
export function jsonOfReport(report: ImageToVolumeReport): object {
  const { imageId, destination, format, bytesDownloaded, bytesWritten, virtualSizeBytes } = report
  const { hash, warnings, resumes, seconds, unwrapped } = report
  return {
    imageId,
    destination,
    format,
    ...(unwrapped === undefined ? {} : { unwrapped }),
    bytesDownloaded,
    bytesWritten,
    virtualSizeBytes,
    hash: hash ?? null,
    warnings,
    resumes,
    seconds,
  }
}
