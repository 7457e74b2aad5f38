import type { CallOptions } from '@disk-image/core'

/** Options of everything that merges children into a base. */
export interface MergeOptions extends CallOptions {
  /**
   * Whether blocks of nothing but zeros are written although the base has nothing there. vhd-util does so;
   * the content is the same. @default false
   */
  readonly keepZeroBlocks?: boolean | undefined
}
