export { DiskChangedError, DiskFormatError, GzipError, VhdError } from './errors.ts'
export type { DiskFormatErrorInit, GzipProblem, VhdErrorInit } from './errors.ts'
export type { FileRange } from './blocks/block-map.ts'
export { encodableFormats, encodeDisk } from './encode-disk.ts'
export type { EncodableFormat, EncodeDiskOptions } from './encode-disk.ts'
export type {
  EncodeOptions,
  LuksEncodeOptions,
  Qcow2EncodeOptions,
  VdiEncodeOptions,
  VhdEncodeOptions,
  VhdxEncodeOptions,
  VmdkEncodeOptions,
} from './encode/encode-options.ts'
export { gzipImage } from './encode/gzip-image.ts'
export { createEncodeWorkers } from './encode/encode-workers.ts'
export type { EncodeWorkers } from './encode/encode-workers.ts'
export { openDisk, readableFormats } from './open-disk.ts'
export type { ReadableFormat } from './open-disk.ts'
export type { OpenDiskOptions } from './image-file.ts'
export { openRaw } from './raw/open-raw.ts'
export type { OpenRawOptions, RawDisk } from './raw/open-raw.ts'
export { openParallels } from './parallels/open-parallels.ts'
export type { ParallelsDisk } from './parallels/open-parallels.ts'
export type { ParallelsLayout } from './parallels/parallels-layout.ts'
export { openLuks } from './luks/open-luks.ts'
export type { LuksDisk, OpenLuksOptions } from './luks/open-luks.ts'
export type { LuksLayout } from './luks/luks-layout.ts'
export { openVdi } from './vdi/open-vdi.ts'
export type { VdiDisk } from './vdi/open-vdi.ts'
export type { VdiLayout } from './vdi/vdi-layout.ts'
export { openVhd, openVhdChain } from './vhd/open-vhd.ts'
export type { VhdDisk } from './vhd/open-vhd.ts'
export type { ChainReader, ChainRules, RawReader } from './vhd/chain-disk.ts'
export type { VhdLayout } from './vhd/layout.ts'
export { openVhdx, readVhdxLayout } from './vhdx/open-vhdx.ts'
export type { VhdxDisk } from './vhdx/open-vhdx.ts'
export type { VhdxLayout } from './vhdx/vhdx-layout.ts'
export { openVmdk } from './vmdk/open-vmdk.ts'
export type { VmdkDisk } from './vmdk/open-vmdk.ts'
export { openVmdkSet } from './vmdk/open-vmdk-set.ts'
export type { VmdkSetDisk } from './vmdk/open-vmdk-set.ts'
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
export { GzipDecoder } from './envelopes/gzip-decoder.ts'
export type { GzipTrailer } from './envelopes/gzip-decoder.ts'
export type { Ovf, OvfDisk } from './envelopes/ovf.ts'
export { TarReader } from './envelopes/tar-reader.ts'
export type { MemberSink, TarEntry, TarHandler, TarMember, TarProblem } from './envelopes/tar-reader.ts'
export { encodeOva } from './envelopes/encode-ova.ts'
export type { OvaContent, OvaDisk, OvaOptions } from './envelopes/encode-ova.ts'
export { machineOfProperties } from './envelopes/write-ovf.ts'
export type { OvaController, OvaMachine } from './envelopes/write-ovf.ts'
export { envelopeOf, Unwrapper } from './envelopes/unwrapper.ts'
export type { EnvelopeName, UnwrappedImage, UnwrapperOptions } from './envelopes/unwrapper.ts'
