import { toQemuFormat } from '@disk-image/core'
import { encodableFormats, planStream, type StreamPlan, streamFormats } from '@disk-image/disk'
import { layoutHeadBytes } from '@disk-image/disk/layouts'
import type { Cipher } from '@disk-image/qemu-img'
import type { InspectionResult } from '@disk-image/format-policy/inspector'

/** Bytes from the start of an image by which its route is chosen. */
export const headBytes: number = layoutHeadBytes

/** Formats that have a driver of their own in qemu-img. */
const drivers: ReadonlySet<string> = new Set([
  'qcow2',
  'qcow',
  'qed',
  'vmdk',
  'vhd',
  'vhdx',
  'vdi',
  'parallels',
  'bochs',
  'cloop',
  'dmg',
])

/** Whether qemu-img has a driver that could take the bytes for its own, whatever else they are. */
export function hasDriver(inspection: Pick<InspectionResult, 'matches'>): boolean {
  return inspection.matches.some((match) => drivers.has(match))
}

/** The format as which a file is opened: its own where qemu-img has a driver for it, otherwise raw. */
export function driverOf(inspection: Pick<InspectionResult, 'format'>): string {
  return drivers.has(inspection.format) ? inspection.format : 'raw'
}

/** Whether qemu-img is kept from reading a disk of this format, under any of its names: our own readers do. */
export function isReadByUs(format: string): boolean {
  return ['vpc', 'vhdx', 'vmdk', 'vdi', 'parallels'].includes(toQemuFormat(format))
}

/** What encoders of ours are asked for, by format; of what is not named here qemu-img knows more. */
const subformats: Readonly<Record<string, readonly string[]>> = {
  qcow2: [''],
  parallels: [''],
  vdi: ['', 'dynamic', 'fixed'],
  vhdx: ['', 'dynamic', 'fixed'],
  vmdk: ['', 'monolithicSparse', 'streamOptimized'],
  vpc: ['', 'dynamic', 'fixed'],
}

/**
 * Whether an encoder of ours makes files of a format, under any of its names: otherwise qemu-img does.
 *
 * @param writesZeros whether every byte is to be stored, zeros too
 */
export function isWrittenByUs(format: string, subformat: string = '', writesZeros: boolean = false): boolean {
  const name = toQemuFormat(format)
  const isKnown = (encodableFormats as readonly string[]).includes(name)
  return isKnown && !writesZeros && subformats[name]?.includes(subformat) === true
}

/**
 * How our own encoder is told of a cipher. Undefined for one that only qemu-img writes.
 *
 * @param spec as `decodeCipher` takes a volume type's apart @default aes-256 in XTS
 */
export function luksCipherOf(
  spec?: Cipher,
): { readonly cipher: string; readonly keyBytes: number } | undefined {
  if (spec === undefined) return { cipher: 'aes-xts-plain64', keyBytes: 64 }
  const { cipherAlg, cipherMode } = spec
  const aesBytes = Number(/^aes-(128|192|256)$/.exec(cipherAlg)?.[1] ?? 0) / 8
  const ivgenAlg = spec.ivgenAlg === 'essiv' ? 'essiv:sha256' : spec.ivgenAlg
  const vectors = { xts: ['plain64', 'plain'], cbc: ['plain64', 'plain', 'essiv:sha256'] }[cipherMode] ?? []
  if (aesBytes === 0 || !vectors.includes(ivgenAlg)) return undefined
  const cipher = `aes-${cipherMode}-${ivgenAlg}`
  return { cipher, keyBytes: cipherMode === 'xts' ? 2 * aesBytes : aesBytes }
}

/** What is known of the disk inside. */
export interface RouteLayout {
  /** In qemu-img's terms; undefined where nothing is known of it yet. */
  readonly format: string | undefined
  /** Bytes of the disk. */
  readonly sizeBytes: number | undefined
  /** Whether it can be written while its bytes arrive. */
  readonly streams: boolean
  /** Whether a reader of ours takes it, from a file. */
  readonly reads: boolean
  /** Whether bytes may have to wait in a temporary file while it streams. @default true */
  readonly spools?: boolean | undefined
  /** What the decoder of its stream is opened with; undefined where nothing was looked at yet. */
  readonly stream?: Extract<StreamPlan, { readonly supported: true }> | undefined
}

/**
 * What a route is chosen by, as far as it is known: what the record binds to, what the inspector found, and the first
 * {@link headBytes} of the image.
 *
 * @param claimedFormat in qemu-img's terms
 */
export function layoutOf(
  claimedFormat: string | undefined,
  inspection?: Pick<InspectionResult, 'format' | 'virtualSizeBytes'>,
  head?: Uint8Array,
): RouteLayout {
  const found = inspection === undefined ? claimedFormat : toQemuFormat(driverOf(inspection))
  // A fixed VHD has its only mark at its end: its head may look like anything.
  const format = claimedFormat === 'vpc' ? 'vpc' : found
  const known = { format, sizeBytes: inspection?.virtualSizeBytes }
  if (format === undefined || format === 'luks') return { ...known, streams: false, reads: true }
  // That bytes are nothing else shows at their end only, unless nothing else was claimed.
  if (format === 'raw') return { ...known, streams: claimedFormat === 'raw', reads: true }
  // Where nothing was looked at yet, an image is one of the usual kind.
  const plan = head === undefined ? undefined : planStream(format, head)
  const supported = plan?.supported ?? streamFormats.includes(format)
  // A fixed VHD whose disk looks like another image is judged as a whole before anything of it is written.
  const isOther = inspection !== undefined && found !== 'raw' && found !== format
  return {
    ...known,
    sizeBytes: known.sizeBytes ?? (plan?.supported === true ? plan.sizeBytes : undefined),
    streams: supported && !isOther,
    reads: isReadByUs(format) || supported,
    spools: plan?.supported === true ? plan.spools : undefined,
    stream: plan?.supported === true ? plan : undefined,
  }
}
