import type { CallOptions, Disk, EncodedImage } from '@disk-image/core'
import { type EncodableFormat, encodeDisk } from '@disk-image/disk'
import type { Cipher } from '@disk-image/qemu-img'
import { readPassphrase } from '../judge/decrypt.ts'
import { luksCipherOf } from '../route/formats.ts'
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
  readonly target: Pick<RouteTarget, 'exists' | 'format' | 'inOrder' | 'kind' | 'lengthBytes'>
  readonly request: {
    readonly volumeSubformat?: string | undefined
    readonly passphraseFile?: string | undefined
    readonly cipherSpec?: Cipher | undefined
    readonly keyDerivationMs?: number | undefined
  }
  /** Of a qcow2. @default 'none' */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
  readonly call: CallOptions
}

/** Lays a disk out as it is asked for, at least as large as the target becomes. Close it where it can be. */
export async function encodeFor(
  { encodeWorkers: workers }: Pick<Services, 'encodeWorkers'>,
  { target, request, compression, call }: EncodeJob,
  disk: Disk,
): Promise<EncodedImage> {
  const { volumeSubformat = '', passphraseFile, cipherSpec, keyDerivationMs } = request
  const isLuks = target.format === 'luks'
  const passphrase = isLuks ? await readPassphrase(passphraseFile ?? '') : undefined
  try {
    return await encodeDisk(disk, {
      ...call,
      workers,
      format: target.format as EncodableFormat,
      subformat: volumeSubformat === '' ? usualSubformats[target.format] : volumeSubformat,
      sizeBytes: target.lengthBytes,
      // Before what is there is touched, it is known whether there is room.
      measure: target.exists || target.inOrder === true || target.kind === 'image',
      qcow2: { compression },
      luks: passphrase && { passphrase, keyDerivationMs, ...luksCipherOf(cipherSpec) },
    })
  } finally {
    passphrase?.fill(0)
  }
}
