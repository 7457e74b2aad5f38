import { InvalidError, type ImageRecord, MiB, toQemuFormat } from '@disk-image/core'
import type { Lease, Limiter } from '@disk-image/io'
import { isXenserverFormat } from '@disk-image/vhd'
import type { ImageUtils } from '../image-utils.ts'
import { hasSignature } from '../image-to-volume/job.ts'
import { type DescribedSource, showRecord } from '../sources/sources.ts'
import type { ImageToVolumeReport, ImageToVolumeRequest } from '../image-to-volume/request.ts'
import { unverified } from '../image-to-volume/download-into.ts'
import type { SharedImage, SharedImages } from './shared-images.ts'
import type { Transfer, TransferOutcome, TransferReport } from './transfer.ts'

/** What a transfer runs with. */
export interface TransferTools {
  readonly imageUtils: Pick<ImageUtils, 'imageToVolume' | 'openSource' | 'options' | 'TemporaryImages'>
  readonly budget: Limiter
  readonly images: SharedImages
  /** Called when a shared download begins, with all who want it. */
  onShared(members: Iterable<Transfer>): void
}

/** Runs one transfer that has its slot: waits for its bytes, downloads or shares a download, writes. */
export async function runTransfer(
  transfer: Transfer & { readonly signal: AbortSignal },
  tools: TransferTools,
): Promise<TransferOutcome> {
  const { signal } = transfer
  try {
    return { state: 'done', report: await perform({ ...transfer.request, signal }, transfer, tools) }
  } catch (error) {
    return signal.aborted ? { state: 'cancelled', reason: signal.reason } : { state: 'failed', error }
  }
}

async function perform(
  request: ImageToVolumeRequest & { readonly signal: AbortSignal },
  transfer: Transfer,
  tools: TransferTools,
): Promise<TransferReport> {
  if (request.source !== undefined) return performSource({ ...request, source: request.source }, tools)
  const { imageUtils, budget, images } = tools
  const { imageService, imageId = '', signal } = request
  if (imageService === undefined) {
    throw new InvalidError({
      reason: 'No image service was given: pass imageService to the request, or to createTransferQueue.',
    })
  }
  const image = images.of(transfer)
  if (image?.refusal !== undefined) throw image.refusal.error
  const record = await showRecord(imageService, request.context ?? {}, imageId, { signal })
  const verifiesSignatures = imageUtils.options.verifyGlanceSignatures === 'enabled'
  const estimate = estimateTransfer(record, request, verifiesSignatures)
  const fileBytes = record.size ?? 0
  // What needs no temporary file alone shall not fail because there is no room for a shared one.
  const hasRoom = estimate.temporaryBytes > 0 || transferMemoryBytes + fileBytes <= budget.limit
  const wanted = image !== undefined && (image.begun || (image.members.size > 1 && hasRoom))
  const shared = wanted && estimate.shareable
  if (image === undefined || !shared) {
    // Those who come later shall not take this one's download for theirs.
    images.leave(transfer)
    const lease = await budget.acquire(transferMemoryBytes + estimate.temporaryBytes, signal)
    return finishing(lease, async () => ({ ...(await imageUtils.imageToVolume(request)), shared: false }))
  }
  const lease = await leaseShared(image, fileBytes, budget, signal)
  return finishing(lease, async () => {
    if (!image.begun) tools.onShared(image.members)
    const started = performance.now()
    await image.receive(signal, request.onProgress)
    const waitedSeconds = (performance.now() - started) / 1000
    // The download was compared with them.
    const held = { ...request, imageService: image.imageService, checksums: undefined }
    const report = await imageUtils.imageToVolume(held)
    const shared = { image, verify: request.verify, waitedSeconds }
    return sharedReport(report, shared, verifiesSignatures && hasSignature(record))
  })
}

/** What comes from anywhere is nobody else's download; what it takes is estimated from what is said of it. */
async function performSource(
  request: ImageToVolumeRequest & { readonly source: DescribedSource | string; readonly signal: AbortSignal },
  { imageUtils, budget }: TransferTools,
): Promise<TransferReport> {
  const { source: given, sourceFormat: diskFormat, context, imageService, signal } = request
  const opened =
    typeof given === 'string'
      ? await imageUtils.openSource(given, { context, imageService, signal, diskFormat })
      : undefined
  try {
    const source = opened ?? (given as DescribedSource)
    const { stored, diskFormat: disk_format, containerFormat: container_format } = source
    const described = { id: '', size: stored.sizeBytes, properties: {}, disk_format, container_format }
    const verifiesSignatures = imageUtils.options.verifyGlanceSignatures === 'enabled'
    const estimate = estimateTransfer(source.record ?? described, request, verifiesSignatures)
    const lease = await budget.acquire(transferMemoryBytes + estimate.temporaryBytes, signal)
    return await finishing(lease, async () => ({
      ...(await imageUtils.imageToVolume({ ...request, source })),
      shared: false,
    }))
  } finally {
    await opened?.close()
  }
}

/** Memory for the transfer; for the one that begins the download, room for its file, too. */
async function leaseShared(
  image: SharedImage,
  fileBytes: number,
  budget: Limiter,
  signal: AbortSignal,
): Promise<Lease> {
  while (!image.reserve()) {
    const lease = await budget.acquire(transferMemoryBytes, signal)
    if (image.reserved) return lease
    // Who stood before us for the file has left: it is ours to get.
    lease.release()
  }
  try {
    const lease = await budget.acquire(transferMemoryBytes + fileBytes, signal)
    image.keep(lease.keep(fileBytes))
    return lease
  } catch (error) {
    image.unreserve()
    throw error
  }
}

async function finishing<Result>(lease: Lease, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } finally {
    lease.release()
  }
}

function sharedReport(
  report: ImageToVolumeReport,
  shared: {
    readonly image: SharedImage
    readonly verify: ImageToVolumeRequest['verify']
    readonly waitedSeconds: number
  },
  signatureVerified: boolean,
): TransferReport {
  const { image, verify, waitedSeconds } = shared
  const { hash, verified = [], resumes = 0 } = image.report ?? {}
  const { durationSeconds } = report
  const rounded = (value: number): number => Math.round(value * 1000) / 1000
  return {
    ...report,
    bytesDownloaded: image.claimBytes(),
    hash,
    verified,
    resumes,
    signatureVerified,
    warnings: signatureVerified ? [] : unverified(image.report, verify),
    durationSeconds: {
      ...durationSeconds,
      download: rounded(durationSeconds.download + waitedSeconds),
      total: rounded(durationSeconds.total + waitedSeconds),
    },
    shared: true,
  }
}

/** Bytes of memory that one transfer takes while it runs: its ring, its threads and their heaps. */
export const transferMemoryBytes: number = 32 * MiB

/** What a transfer will take, as far as the image's record tells. */
interface TransferEstimate {
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
function estimateTransfer(
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
