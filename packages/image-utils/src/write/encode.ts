import { type CallOptions, type Disk, type EncodedImage, InvalidError } from '@disk-image/core'
import { type EncodableFormat, encodeDisk, type EncodeOptions } from '@disk-image/disk'
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

/** Options of a format that is written, under its name in qemu-img's terms: `vpc` is VHD. */
export type FormatOptions = Pick<
  EncodeOptions,
  'compressionLevel' | 'qcow2' | 'vmdk' | 'vpc' | 'vhdx' | 'vdi'
>

/**
 * Options are for who lays the format out, and for that format.
 *
 * @param isEncoded whether an encoder of ours does
 * @throws {InvalidError}
 */
export function checkFormatOptions(
  format: string,
  isEncoded: boolean,
  formatOptions: FormatOptions | undefined,
): void {
  const given = Object.entries(formatOptions ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [name],
  )
  if (given.length === 0) return
  const other = given.find((name) => name !== 'compressionLevel' && name !== format)
  if (other !== undefined) {
    throw new InvalidError({ reason: `formatOptions has options of ${other}, and ${format} is written.` })
  }
  if (!isEncoded) {
    throw new InvalidError({
      reason: `formatOptions are of no use here: ${format} is not laid out in process.`,
    })
  }
}

/** What says how a disk is encoded. */
export interface EncodeJob {
  readonly target: Pick<RouteTarget, 'exists' | 'format' | 'inOrder' | 'kind' | 'lengthBytes'>
  readonly request: {
    readonly volumeSubformat?: string | undefined
    readonly passphraseFile?: string | undefined
    readonly cipherSpec?: Cipher | undefined
    readonly keyDerivationMs?: number | undefined
    readonly formatOptions?: FormatOptions | undefined
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
  const { volumeSubformat = '', passphraseFile, cipherSpec, keyDerivationMs, formatOptions } = request
  const isLuks = target.format === 'luks'
  const passphrase = isLuks ? await readPassphrase(passphraseFile ?? '') : undefined
  try {
    return await encodeDisk(disk, {
      ...call,
      ...formatOptions,
      workers,
      format: target.format as EncodableFormat,
      subformat: volumeSubformat === '' ? usualSubformats[target.format] : volumeSubformat,
      sizeBytes: target.lengthBytes,
      // Before what is there is touched, it is known whether there is room.
      measure: target.exists || target.inOrder === true || target.kind === 'image',
      qcow2: { ...formatOptions?.qcow2, compression },
      luks: passphrase && { passphrase, keyDerivationMs, ...luksCipherOf(cipherSpec) },
    })
  } finally {
    passphrase?.fill(0)
  }
}
