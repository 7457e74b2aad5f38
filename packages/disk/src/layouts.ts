export { Fields, layoutHeadBytes, readFully, sameBytes, viewOf } from './layouts/fields.ts'
export { hex, printable } from './layouts/printable.ts'
export { type Finding, Problems } from './layouts/problems.ts'
export { luksHeadBytes, parseLuks, startsAsLuks } from './luks/layout.ts'
export { activeSlot as luksActiveSlot } from './luks/layout-1.ts'
export { luks1Bytes } from './luks/luks-layout.ts'
export type { LuksCipher, LuksHash, LuksKdf, LuksKeySlot, LuksLayout, Pbkdf2 } from './luks/luks-layout.ts'
export { type LuksCrypto, type LuksLimits, LuksRefusal, readLuksLayout, unlockLuks } from './luks/unlock.ts'
export {
  parseParallels,
  type ParallelsLayout,
  startsAsParallels,
  startsAsParallelsExtension,
} from './parallels/parallels-layout.ts'
export { type BitmapDirectory, checkBitmaps } from './qcow2/layout-extensions.ts'
export type { Qcow2Extensions } from './qcow2/layout-extensions.ts'
export {
  compressedHigh,
  compressedOffsetBits,
  entryOffset,
  entryOffsetHigh,
  l1ReservedHigh,
  mostSnapshotExtraBytes,
  mostSnapshots,
  mostSnapshotTableBytes,
  parseQcow2,
  qcow2HeadBytes,
  readSnapshotEntry,
  snapshotEntryBytes,
  type Qcow2Layout,
  zeroLow,
} from './qcow2/layout.ts'
export { parseVdi, vdiDiscarded, type VdiLayout } from './vdi/vdi-layout.ts'
export {
  parseVhdxHead,
  type VhdxHead,
  vhdxHeadBytes,
  type VhdxRegion,
  type VhdxRegions,
} from './vhdx/vhdx-head.ts'
export { crc32c } from './vhdx/crc32c.ts'
export { createVhdxLayout, type VhdxLayout } from './vhdx/vhdx-layout.ts'
export { type Asking, parseVhdxMetadata, type VhdxMetadata } from './vhdx/vhdx-metadata.ts'
export {
  longestDescriptor,
  parseVmdkDescriptor,
  type VmdkDescriptor,
  type VmdkExtent,
  vmdkInOneFile,
  vmdkInSeveral,
  type VmdkKinds,
} from './vmdk/vmdk-descriptor.ts'
export { atEndMark, parseVmdkHeader, type VmdkHeader } from './vmdk/vmdk-header.ts'
export {
  oneVmdkFile,
  parseVmdk,
  parseVmdkEnd,
  vmdkDirectoryEntries,
  type VmdkEnd,
  vmdkHeadBytes,
  type VmdkLayout,
} from './vmdk/vmdk-layout.ts'
export { descriptorLines } from './vmdk/vmdk-lines.ts'
export {
  footerBytes as vhdFooterBytes,
  type FooterFields,
  footerLikeAtEnd,
  isVhdFooter,
  judgeFixedSize,
  judgeFootersAgree,
  judgeVhdFooter,
  parseVhdFooter,
  type PlacedFooter,
} from './vhd/footer.ts'
export {
  headerBytes as vhdHeaderBytes,
  type JudgedHeader,
  parseVhdHeader,
  type VhdHeader,
} from './vhd/header.ts'
export type { VhdLayout } from './vhd/layout.ts'
export { TableScan, type TableShape } from './vhd/table.ts'
export type { SnapshotEntry } from './qcow2/layout.ts'
