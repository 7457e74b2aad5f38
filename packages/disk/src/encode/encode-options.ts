import type { CallOptions } from '@disk-image/core'
import type { EncodeWorkers } from './encode-workers.ts'

/** What every format is encoded with. A format's own options have its name. */
export interface EncodeOptions extends CallOptions {
  /** In the format's terms. @default what the format is mostly used for */
  readonly subformat?: string | undefined
  /** Bytes that the disk has at least; behind its own end it reads as zero. @default its own */
  readonly sizeBytes?: number | undefined
  /** 1 to 9, of formats that compress. @default 6 */
  readonly compressionLevel?: number | undefined
  /** Threads that compress, or some that others use, too. @default CPUs, at most 16 */
  readonly workers?: number | EncodeWorkers | undefined
  readonly vmdk?: VmdkEncodeOptions | undefined
}

/** Options of a VMDK. */
export interface VmdkEncodeOptions {
  /** Of the controller that the guest has drivers for. VMware writes `pvscsi` as `lsilogic`. @default 'lsilogic' */
  readonly adapterType?: 'ide' | 'buslogic' | 'lsilogic' | 'pvscsi' | undefined
  /** VMware's number of the oldest virtual hardware that takes the disk. @default 10, that of ESXi 5.5 */
  readonly hardwareVersion?: number | undefined
  /** VMware's number of the tools that the guest has. @default 2147483647: the guest takes care of its own */
  readonly toolsVersion?: number | undefined
  /** The content's identity, which a delta names. @default one made of size and options */
  readonly contentId?: number | undefined
}
