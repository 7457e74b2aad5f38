/** VHD files and chains of them, as `@disk-image/vhd` has them. */
export {
  coalesceChain,
  createSnapshot,
  createVhd,
  examineVhd,
  flattenChain,
  getVhdInfo,
  repairVhd,
  resizeVhd,
  setVhdParent,
  VhdError,
} from '@disk-image/vhd'
export type {
  CoalesceOptions,
  CreateSnapshotOptions,
  CreateVhdOptions,
  ExamineOptions,
  FlattenOptions,
  RepairOptions,
  RepairReport,
  ResizeOptions,
  SetParentOptions,
  VhdInfo,
  VhdIssue,
  VhdRepair,
  VhdReport,
} from '@disk-image/vhd'
