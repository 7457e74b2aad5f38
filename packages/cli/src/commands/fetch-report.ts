import type { ImageToVolumeReport } from '@disk-image/image-utils'

/** The fixed shape of `fetch --json`. */
export function jsonOfReport(report: ImageToVolumeReport): object {
  const { imageId, volume, format, volumeFormat, bytesDownloaded, resumedBytes, bytesWritten } = report
  const { virtualSizeBytes, hash, verified, warnings, resumes, durationSeconds, unwrapped } = report
  return {
    imageId,
    volume,
    format,
    volumeFormat,
    ...(unwrapped === undefined ? {} : { unwrapped }),
    bytesDownloaded,
    resumedBytes,
    bytesWritten,
    virtualSizeBytes,
    hash: hash ?? null,
    verified,
    warnings,
    resumes,
    durationSeconds,
  }
}
