import type { CallOptions, Disk, EncodedImage } from '@disk-image/core'
import { type EncodableFormat, encodeDisk } from '@disk-image/disk'
import type { RouteTarget } from '../route/route.ts'
import type { Services } from '../services/services.ts'

/** What qemu-img makes where no subformat is asked for. */
const usualSubformats: Readonly<Record<string, string>> = {
  vmdk: 'monolithicSparse',
  vpc: 'dynamic',
  vhdx: 'dynamic',
}

/** What says how a disk is encoded. */
export interface EncodeJob {
  readonly target: Pick<RouteTarget, 'format' | 'lengthBytes'>
  readonly request: { readonly volumeSubformat?: string | undefined }
  readonly call: CallOptions
}

/** Lays a disk out as it is asked for, at least as large as the target becomes. */
export function encodeFor(
  { encodeWorkers: workers }: Pick<Services, 'encodeWorkers'>,
  { target, request: { volumeSubformat = '' }, call }: EncodeJob,
  disk: Disk,
): Promise<EncodedImage> {
  return encodeDisk(disk, {
    ...call,
    workers,
    format: target.format as EncodableFormat,
    subformat: volumeSubformat === '' ? usualSubformats[target.format] : volumeSubformat,
    sizeBytes: target.lengthBytes,
  })
}
