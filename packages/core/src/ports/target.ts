/**
 * Where a disk goes: a file, a block device, a format writer.
 *
 * Takes bytes and zeros at any place, in any order, several calls at once. Nothing of it can be taken for a disk
 * before `commit` has resolved, nor after a kill or a power cut: what tells a reader that there is one is written last.
 */
export interface Target extends AsyncDisposable {
  /**
   * Writes all of the bytes. They are lent until the promise settles, and may be a view of shared memory.
   *
   * @throws {ImageTooBigError} where there is no room
   */
  write(bytes: Uint8Array, offset: number): Promise<void>
  /** The range reads as zeros afterwards. */
  zero(offset: number, length: number): Promise<void>
  /**
   * Makes the whole durable and visible, with a length of `sizeBytes`.
   *
   * @param check is called with the path of the whole content; where it throws, nothing is committed
   */
  commit(sizeBytes: number, check?: (path: string) => Promise<void>): Promise<void>
  /** Makes sure that nothing half-written can be taken for a disk. Harmless after `commit`. Never throws. */
  abandon(): Promise<void>
}
