import { constants } from 'node:fs'
import { type FileHandle, open, realpath, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { CallOptions } from '@disk-image/core'
import { VhdError } from '@disk-image/disk/vhd'
import { unlessAborted } from '@disk-image/io'
import { type OpenDisk, openDisk } from '../chain/open-chain.ts'
import { XenserverArchiveError } from '../errors.ts'
import { type ArchiveWarning, ChainJudge, headOf } from './judge-archive.ts'
import { type ArchiveLimits, type ResolvedLimits, resolveLimits } from './limits.ts'
import { MemberWriter } from './member-writer.ts'
import { ArchiveReader } from './read-archive.ts'

const chunkBytes = 256 * 1024

/** Options of {@link extractXenserverArchive}. */
export interface ExtractOptions extends ArchiveLimits, CallOptions {
  /**
   * Whether the files are on the disk when the call resolves. Without it, it doesn't wait for them: for what is read
   * next, and then removed. @default true
   */
  readonly durable?: boolean | undefined
}

/** What was extracted. */
export interface ExtractedArchive {
  /** Paths of the chain's files, leaf first, base last. */
  readonly chain: string[]
  /** Bytes of all of them. */
  readonly sizeBytes: number
  /** Bytes of the disk that the chain shows. */
  readonly virtualSizeBytes: number
  readonly warnings: readonly ArchiveWarning[]
}

/**
 * Unpacks a XenServer archive, a tar.gz (or plain tar) of `0.vhd` (leaf), `1.vhd` … (base last), while it arrives. Only these
 * files leave it, as new files of mode 0600; afterwards every one of them was judged, and so was the chain.
 *
 * On any failure nothing of it is left in the folder. After a kill or a power cut there is the whole chain, or no
 * `0.vhd`.
 *
 * @param source the archive's path, or its bytes
 * @throws {XenserverArchiveError} with the rule that is broken, and where
 * @see cinder.image.image_utils.extract_targz
 */
export async function extractXenserverArchive(
  source: string | AsyncIterable<Uint8Array>,
  targetDirectory: string,
  options: ExtractOptions = {},
): Promise<ExtractedArchive> {
  options.signal?.throwIfAborted()
  const directory = await realpath(targetDirectory)
  const { bavail, bsize } = await statfs(directory)
  const limits = resolveLimits(options, bavail * bsize)
  const writer = new MemberWriter(directory, limits, options.durable ?? true)
  try {
    const names = await unpack(source, writer, limits, options)
    const extracted = await judge(directory, names, limits, (name) => writer.temporaryPathOf(name))
    await writer.nameAll(extracted.chain.map((path) => basename(path)))
    return extracted
  } catch (error) {
    await writer.undo()
    throw error
  }
}

/** @returns the files that were taken */
async function unpack(
  source: string | AsyncIterable<Uint8Array>,
  writer: MemberWriter,
  limits: ResolvedLimits,
  { signal, onProgress }: CallOptions,
): Promise<ReadonlySet<string>> {
  const file = typeof source === 'string' ? await openArchive(source) : undefined
  const total = (await file?.stat())?.size
  const input = file?.createReadStream({ autoClose: false, highWaterMark: chunkBytes }) ?? source
  const reader = new ArchiveReader(limits, (member) => writer.open(member))
  const unpacking = (async (): Promise<void> => {
    let completed = 0
    for await (const bytes of input as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted()
      completed += bytes.length
      await reader.write(bytes)
      onProgress?.({ stage: 'extract', completed, total, unit: 'bytes' })
    }
    await reader.end()
  })()
  try {
    // A source that hangs is left to itself: nobody waits for it.
    await unlessAborted(unpacking, signal)
    return reader.names
  } finally {
    await reader.close()
    await file?.close()
    signal?.throwIfAborted()
  }
}

async function openArchive(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new XenserverArchiveError({ rule: 'not-a-file', reason: 'it is not a regular file' })
}

async function judge(
  directory: string,
  { size }: ReadonlySet<string>,
  limits: ResolvedLimits,
  pathOf: (name: string) => string,
): Promise<ExtractedArchive> {
  const names = Array.from({ length: size }, (_, index) => `${index}.vhd`)
  const chainJudge = new ChainJudge(limits)
  let sizeBytes = 0
  let virtualSizeBytes: number | undefined
  for (const name of names) {
    await withMember(pathOf(name), name, async (disk) => {
      chainJudge.add(headOf(name, disk))
      await chainJudge.judgeWhole(name, disk)
      virtualSizeBytes ??= disk.sizeBytes
      sizeBytes += disk.source.size
    })
  }
  chainJudge.end()
  return {
    chain: names.map((name) => join(directory, name)),
    sizeBytes,
    virtualSizeBytes: virtualSizeBytes ?? 0,
    warnings: chainJudge.warnings,
  }
}

/** Opens a disk of the archive, and says of what is wrong with it which one it is. */
export async function withMember(
  path: string,
  name: string,
  act: (disk: OpenDisk) => Promise<void>,
): Promise<void> {
  await namingMember(name, async () => {
    const disk = await openDisk(path)
    try {
      await act(disk)
    } finally {
      await disk.close()
    }
  })
}

/** @throws {XenserverArchiveError} for a {@link VhdError} */
export async function namingMember<Result>(name: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof VhdError)) throw error
    const { rule, reason, found, offset, accepted } = error
    throw new XenserverArchiveError({ member: name, rule, reason, found, offset, accepted, cause: error })
  }
}

/**
 * Whether an image's record says that it is a XenServer archive: a tar.gz with a chain of VHDs.
 *
 * @see cinder.image.image_utils.is_xenserver_format
 */
export function isXenserverFormat(imageMeta: {
  readonly disk_format?: string | null | undefined
  readonly container_format?: string | null | undefined
}): boolean {
  return imageMeta.disk_format === 'vhd' && imageMeta.container_format === 'ovf'
}
