import {
  mostSnapshotExtraBytes,
  mostSnapshotTableBytes,
  type Qcow2Layout,
  readSnapshotEntry,
  snapshotEntryBytes,
} from '@disk-image/disk/layouts'
import type { Report } from '../result.ts'
import type { Steps } from '../engine/steps.ts'

/** Goes along a table of entries that have a length of their own, whatever pieces it comes in. */
class Entries {
  readonly #entry = new Uint8Array(snapshotEntryBytes)
  #filled = 0
  #skip = 0
  #left: number
  /** The first entry with more extra data than readers take. */
  tooLong: { readonly offset: number; readonly bytes: number } | undefined

  constructor(count: number) {
    this.#left = count
  }

  get isOver(): boolean {
    return (this.#left === 0 && this.#skip === 0) || this.tooLong !== undefined
  }

  feed(piece: Uint8Array, offset: number): void {
    let at = 0
    while (at < piece.length && !this.isOver) {
      const skipped = Math.min(this.#skip, piece.length - at)
      this.#skip -= skipped
      at += skipped
      if (this.#skip > 0 || this.#left === 0) return
      const part = piece.subarray(at, at + snapshotEntryBytes - this.#filled)
      this.#entry.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === snapshotEntryBytes) this.#next(offset + at - snapshotEntryBytes)
    }
  }

  #next(offset: number): void {
    const { extraBytes, length } = readSnapshotEntry(this.#entry)
    if (extraBytes > mostSnapshotExtraBytes) this.tooLong = { offset: offset + 36, bytes: extraBytes }
    this.#filled = 0
    this.#left -= 1
    // The file may end with the last entry, without what would fill it up.
    this.#skip = (this.#left === 0 ? length : Math.ceil(length / 8) * 8) - snapshotEntryBytes
  }
}

/**
 * Goes over the snapshot table as a reader does that opens the image: every entry must be one that it takes.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst "Snapshots"
 */
export function* walkSnapshots(layout: Qcow2Layout, report: Report): Steps<void> {
  const start = Number(layout.snapshotsOffset)
  const entries = new Entries(layout.snapshotCount)
  // Never more than to the end of a cluster: what is behind the table must still be there for others.
  const length = Math.min(layout.clusterSize, 65536)
  let at = start
  let hasGoneBy = false
  while (!entries.isOver && at - start <= mostSnapshotTableBytes) {
    const piece = yield { kind: 'read', offset: at, length }
    hasGoneBy = !(piece instanceof Uint8Array)
    if (!(piece instanceof Uint8Array)) break
    entries.feed(piece, at)
    at += piece.length
    if (piece.length < length) break
  }
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('tables', { reason, offset, found, accepted })
  const { tooLong } = entries
  if (hasGoneBy) {
    wrong('The snapshot table lies over other tables', 64, `offset ${start}`, 'a place of its own')
  } else if (tooLong !== undefined) {
    const found = `${tooLong.bytes} bytes`
    wrong(
      'A snapshot has more extra data than readers take',
      tooLong.offset,
      found,
      `at most ${mostSnapshotExtraBytes}`,
    )
  } else if (at - start > mostSnapshotTableBytes) {
    wrong('The snapshot table is larger than any reader takes', 64, `${at - start} bytes`, '64 MiB')
  } else if (!entries.isOver) {
    report.fail('truncated', {
      reason: 'The snapshot table lies behind the end of the file, so a part of the disk is missing',
      offset: 64,
      found: `${at} bytes`,
      accepted: `the whole table of ${layout.snapshotCount} snapshots`,
    })
  }
}
