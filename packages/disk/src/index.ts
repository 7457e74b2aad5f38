export { DiskFormatError } from './disk-format-error.ts'
export type { DiskFormatErrorInit } from './disk-format-error.ts'
export type { FileRange } from './blocks/block-map.ts'
export { openDisk, readableFormats } from './open-disk.ts'
export type { ReadableFormat } from './open-disk.ts'
export type { OpenDiskOptions } from './open-disk-options.ts'
export { openParallels } from './parallels/open-parallels.ts'
export type { ParallelsDisk } from './parallels/open-parallels.ts'
export type { ParallelsLayout } from './parallels/parallels-layout.ts'
export { openVdi } from './vdi/open-vdi.ts'
export type { VdiDisk } from './vdi/open-vdi.ts'
export type { VdiLayout } from './vdi/vdi-layout.ts'
export { openVhd, openVhdChain } from './vhd/open-vhd.ts'
export type { VhdDisk } from './vhd/open-vhd.ts'
export type { ChainReader, ChainRules, RawReader } from './vhd/chain-disk.ts'
export type { VhdLayout } from './vhd/layout.ts'
export { VhdError } from './vhd/vhd-error.ts'
export type { VhdErrorInit } from './vhd/vhd-error.ts'
export { openVhdx, readVhdxLayout } from './vhdx/open-vhdx.ts'
export type { VhdxDisk } from './vhdx/open-vhdx.ts'
export type { VhdxLayout } from './vhdx/vhdx-layout.ts'
export { openVmdk } from './vmdk/open-vmdk.ts'
export type { VmdkDisk } from './vmdk/open-vmdk.ts'
export type { VmdkHeader } from './vmdk/vmdk-header.ts'
export type { VmdkLayout } from './vmdk/vmdk-layout.ts'
export { createDecodeWorkers } from './stream/decode-workers.ts'
export type { DecodeWorkers } from './stream/decode-workers.ts'
export { openStreamDecoder, planStream, streamFormats } from './open-stream-decoder.ts'
export type {
  Spool,
  StreamDecoder,
  StreamDecoderOptions,
  StreamDecoderResult,
  StreamPlan,
  StreamPlanOptions,
} from './stream/stream-decoder.ts'
