/** Instead of a place: nothing is stored for the block, which reads as zero. */
export const holeBlock = -1
/** Instead of a place: the block is marked as zero. */
export const zeroBlock = -2

/** Bytes of the image file that are not a block's. */
export interface FileRange {
  readonly offset: number
  readonly length: number
}

/** What one table, or a part of it, says of neighbouring blocks. */
export interface BlockTable {
  /** Number of the first block. */
  readonly first: number
  /** Blocks, at least one. */
  readonly count: number
  /** Byte offset into the file of each, {@link holeBlock} or {@link zeroBlock}; absent where all are holes. */
  readonly places?: Float64Array | undefined
  /** Where the table itself is, if it is not among the map's `reserved`. */
  readonly range?: FileRange | undefined
}

/** A disk in blocks of one size, each at a place of the file. */
export interface BlockMap {
  /** Begins the names of rules. */
  readonly format: string
  readonly sizeBytes: number
  readonly blockBytes: number
  /** Whether each block is a compressed record, which says itself whose it is. */
  readonly isCompressed: boolean
  /** Every place of a block is a multiple of this, counted from `placesFrom`. */
  readonly placeUnitBytes: number
  readonly placesFrom: number
  /** Header and tables, where no block may be. */
  readonly reserved: readonly FileRange[]
  /**
   * The table that a block is in. Each place in it begins inside the file.
   *
   * @throws {DiskFormatError} where the table or a place in it lies outside
   */
  load(block: number): Promise<BlockTable>
}
