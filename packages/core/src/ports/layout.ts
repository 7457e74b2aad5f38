import type { Refusal } from '../errors.ts'

/**
 * What one parse of an image's metadata yields. The verdict is made of it, the reader reads by it, and the plan and
 * the report quote it: nobody parses the same bytes a second time in another way.
 *
 * Each format adds where its data lies.
 */
export interface Layout {
  /** The inspector's name of the format: `qcow2`, `vmdk`, `vhd` … */
  readonly format: string
  /** Bytes of the disk. */
  readonly sizeBytes: number
  /** What makes it unfit to be read, the first one first; empty where nothing does. */
  readonly problems: readonly Refusal[]
}
