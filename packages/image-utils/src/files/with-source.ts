import { ImageUnacceptableError } from '@disk-image/core'
import { type HeldFile, holdFile, renameInError } from '@disk-image/host'

/**
 * Holds a source while it is used: whoever judges it and whoever reads it, tools included, has the same file. Errors
 * call it by the name that it was given with.
 *
 * @param hold looks the name up; by default links are followed
 * @throws {InvalidError} for a pipe, a socket, a terminal or a folder
 */
export async function withSource<Result>(
  name: string,
  use: (source: HeldFile) => Promise<Result>,
  hold: (name: string) => Promise<HeldFile> = holdFile,
): Promise<Result> {
  await using source = await hold(name)
  try {
    return await use(source)
  } catch (error) {
    renameInError(error, source)
    throw error
  }
}

/**
 * What was judged must be what was read: an image whose tables change meanwhile can refer to anything. Raw disks are
 * not asked; a guest may be writing to one.
 *
 * @param judged the stamp that it had before it was judged
 * @throws {ImageUnacceptableError} rule `source-changed`
 */
export async function checkUnchanged(source: HeldFile, judged: string, imageId: string): Promise<void> {
  if ((await source.stamp()) === judged) return
  throw new ImageUnacceptableError({
    imageId,
    rule: 'source-changed',
    reason: `${source.name} was changed while it was read.`,
    accepted: 'a source that nobody writes to',
  })
}
