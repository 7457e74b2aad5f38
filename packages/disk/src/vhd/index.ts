export { viewOf } from '../layouts/fields.ts'
export { cutExtents, hasSector, isFull, markSectors } from './bitmap.ts'
export { type ByteSource, readBytes, readWhole, sourceOf } from './byte-source.ts'
export { type ChainDisk, type ChainRules, diskOf, judgeChain, rawDisk } from './chain-disk.ts'
export {
  checksum,
  type DiskGeometry,
  epochSeconds,
  footerBytes,
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
export { createChainDisk, openVhd, openVhdChain, type VhdDisk } from './open-vhd.ts'
export { batmapBytes, examineLayout, findFooter, readVhdLayout } from './read-layout.ts'
export { ChainExtent, readExtents, resolveRange } from './resolve.ts'
export { unallocated } from './table.ts'
export { VhdError, type VhdErrorInit } from './vhd-error.ts'
