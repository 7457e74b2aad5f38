export { viewOf } from '../layouts/fields.ts'
export {
  cutExtents,
  diskOf,
  hasSector,
  isFull,
  judgeChain,
  markSectors,
  rawDisk,
  type ChainDisk,
  type ChainRules,
} from './chain-disk.ts'
export { CoveredSectors, writeUncovered } from './covered-sectors.ts'
export { type ChainPart, openDynamicVhdStream } from './dynamic-stream.ts'
export { type DynamicHead, parseVhdHead, type VhdHead } from './vhd-head.ts'
export {
  batmapBytes,
  examineLayout,
  findFooter,
  readBytes,
  readVhdLayout,
  readWhole,
  sourceOf,
  type ByteSource,
} from './read-layout.ts'
export {
  encodeBatmapHeader,
  encodeLocatorPath,
  geometryBytes,
  geometryOf,
  parseUuid,
  sealHeader,
  withSize,
  withUniqueId,
  writeLocatorEntry,
  writeParentName,
} from './encode.ts'
export type { SizedImage } from '../encode/image-of-parts.ts'
export { DynamicVhdWriter, encodeDynamicVhd, encodeFixedVhd, fixedVhd, mapVhdBlocks } from './encode-vhd.ts'
export {
  type BlockAllocator,
  createBlockAllocator,
  defaultBlockBytes,
  layOut,
  type NewDisk,
  type NewDiskMetadata,
  type VhdStyle,
} from './new-disk.ts'
export {
  checksum,
  type DiskGeometry,
  epochSeconds,
  footerBytes,
  type FooterFields,
  isUsable,
  maximumDiskBytes,
  parseVhdFooter,
  roundUp,
  sectorBytes,
  type VhdFooter,
  type VhdType,
  zeroUuid,
} from './footer.ts'
export {
  decodeLocatorPath,
  headerBytes,
  locatorBytes,
  type LocatorEntry,
  locatorsOffset,
  maximumLocatorBytes,
} from './header.ts'
export {
  type Batmap,
  disagreements,
  type DynamicLayout,
  type FooterOrigin,
  type UnreadableVhd,
  type VhdIssue,
  type VhdIssueSeverity,
  type VhdLayout,
} from './layout.ts'
export {
  ChainExtent,
  createChainDisk,
  openVhd,
  openVhdChain,
  readExtents,
  resolveRange,
  type VhdDisk,
} from './open-vhd.ts'
export { unallocated } from './table.ts'
export { VhdError, type VhdErrorInit } from '../errors.ts'
