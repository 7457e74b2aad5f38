export { copyVhdx } from './vhdx/copy-vhdx.ts'
export type { CopyVhdxOptions, DiskReceiver } from './vhdx/copy-vhdx.ts'
export { readVhdxLayout } from './vhdx/vhdx-layout.ts'
export type { VhdxLayout } from './vhdx/vhdx-layout.ts'
