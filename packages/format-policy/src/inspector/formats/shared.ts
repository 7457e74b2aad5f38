import type { Report } from '../result.ts'

/** The best that deflate can do is a little over 1000 to 1. */
const mostCompression = 1100

/** Parts of a disk that the tables of an image name. */
export interface NamedParts {
  /** As the format calls them: clusters, blocks, grains. */
  readonly name: string
  readonly count: number
  readonly bytes: number
  readonly compressed?: boolean
}

/**
 * Every part has its place for itself, so together they are no longer than the file. Where a million entries share
 * one part, a small file costs the time and the room of a large one.
 */
export function checkShared(
  { name, count, bytes, compressed }: NamedParts,
  fileBytes: number,
  report: Report,
): void {
  // A file that was cut has fewer bytes than it had parts.
  if (report.hasFailed('truncated')) return
  // The last one may be cut short.
  const fits =
    compressed === true
      ? count * bytes <= mostCompression * (fileBytes + bytes)
      : (count - 1) * bytes < fileBytes
  if (fits) return
  report.fail('tables', {
    reason: `The tables name more ${name} than the file can hold, so several share one place`,
    found: `${count} ${name} of ${bytes} bytes in ${fileBytes}`,
    accepted: 'a place for each of them',
    reference: 'CVE-2015-5162',
  })
}
