import type { ReadEntry } from 'tar'
import { realpath, stat, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { CallOptions } from '@disk-image/core'
import { VhdError } from '@disk-image/disk/vhd'
import { openDisk } from '../chain/open-chain.ts'
import { XenserverArchiveError } from '../errors.ts'
import { gunzip } from './gunzip.ts'
import { type ArchiveWarning, judgeMembers, type OpenMember } from './judge-archive.ts'
import { type ArchiveLimits, ratioFloorBytes, type ResolvedLimits, resolveLimits } from './limits.ts'
import { judgeName, judgeType, quoted } from './member-name.ts'
import { MemberWriter } from './member-writer.ts'

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
 * Unpacks a XenServer archive, a tar.gz of `0.vhd` (leaf), `1.vhd` … (base last), while it arrives. Only these
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

async function unpack(
  source: string | AsyncIterable<Uint8Array>,
  writer: MemberWriter,
  limits: ResolvedLimits,
  { signal, onProgress }: CallOptions,
): Promise<ReadonlySet<string>> {
  const total = typeof source === 'string' ? (await stat(source)).size : undefined
  const admission = new Admission(limits)
  let taken = false
  // Only who unpacks an archive pays for the tar package.
  const { TarReader } = await import('./read-tar.ts')
  const reader = new TarReader({
    async begin(member, offset) {
      const fileName = admission.admit(member, offset)
      taken = fileName !== undefined
      if (fileName !== undefined) await writer.begin(fileName, member.size)
    },
    data: (bytes) => (taken ? writer.data(bytes) : Promise.resolve()),
    end: () => (taken ? writer.end() : Promise.resolve()),
  })
  await gunzip(source, signal, async (bytes, compressedBytes, unpackedBytes) => {
    if (unpackedBytes > ratioFloorBytes && unpackedBytes > compressedBytes * limits.maxCompressionRatio) {
      throw new XenserverArchiveError({
        rule: 'compression-ratio',
        reason: 'it unpacks to far more than disks do',
        found: `${unpackedBytes} bytes from ${compressedBytes}`,
        accepted: `${limits.maxCompressionRatio} times its size`,
        offset: unpackedBytes,
      })
    }
    await reader.write(bytes)
    onProgress?.({ stage: 'extract', completed: compressedBytes, total, unit: 'bytes' })
  })
  reader.end()
  return admission.names
}

/** Says of each member whether it is taken. */
class Admission {
  /** Files that are taken. */
  readonly names: Set<string> = new Set()
  readonly #limits: ResolvedLimits
  #members = 0
  #leftBytes: number

  constructor(limits: ResolvedLimits) {
    this.#limits = limits
    this.#leftBytes = limits.maxBytes
  }

  /**
   * @returns the file that it becomes; undefined where it is left out
   * @throws {XenserverArchiveError} for what no archive of XenServer has
   */
  admit({ type, path, size }: Pick<ReadEntry, 'type' | 'path' | 'size'>, offset: number): string | undefined {
    this.#members += 1
    const { maxMembers } = this.#limits
    const refuse = (init: { rule: string; reason: string; found?: string; accepted?: string }): never => {
      throw new XenserverArchiveError({ member: quoted(path), offset, ...init })
    }
    if (this.#members > maxMembers) {
      refuse({ rule: 'member-count', reason: `the archive has more than ${maxMembers} entries` })
    }
    const name = judgeName(path)
    if (name.action === 'refuse') {
      throw new XenserverArchiveError({ member: quoted(path), offset, ...name.refusal })
    }
    const kind = judgeType(type, name.action === 'take')
    if (kind !== undefined) throw new XenserverArchiveError({ member: quoted(path), offset, ...kind })
    if (!Number.isSafeInteger(size) || size < 0) {
      refuse({ rule: 'member-size', reason: 'its size is no number of bytes', found: String(size) })
    }
    if (size > this.#leftBytes) {
      const found = `${size} bytes, ${this.#leftBytes} are left`
      refuse({ rule: 'size-limit', reason: 'the archive unpacks to more than it may', found })
    }
    this.#leftBytes -= size
    if (name.action !== 'take') return undefined
    const fileName = `${name.index}.vhd`
    if (this.names.has(fileName)) refuse({ rule: 'member-duplicate', reason: 'the archive has it twice' })
    this.names.add(fileName)
    return fileName
  }
}

async function judge(
  directory: string,
  names: ReadonlySet<string>,
  limits: ResolvedLimits,
  pathOf: (name: string) => string,
): Promise<ExtractedArchive> {
  const expected = [...names].map((_, index) => `${index}.vhd`)
  const missing = expected.find((name) => !names.has(name))
  if (names.size === 0 || missing === '0.vhd') {
    throw new XenserverArchiveError({
      rule: 'chain-empty',
      reason: 'it has no 0.vhd',
      accepted: '0.vhd, 1.vhd …',
    })
  }
  if (missing !== undefined) {
    const reason = `it has no ${missing}, but a later one`
    throw new XenserverArchiveError({ rule: 'chain-gap', reason, found: [...names].join(', ').slice(0, 200) })
  }
  const members: OpenMember[] = []
  try {
    for (const name of expected) members.push({ name, disk: await openMember(pathOf(name), name) })
    const warnings = await judgeMembers(members, limits)
    return {
      chain: expected.map((name) => join(directory, name)),
      sizeBytes: members.reduce((sum, { disk }) => sum + disk.source.size, 0),
      virtualSizeBytes: members[0]?.disk.sizeBytes ?? 0,
      warnings,
    }
  } finally {
    await Promise.all(members.map(({ disk }) => disk.close()))
  }
}

async function openMember(path: string, name: string): Promise<OpenMember['disk']> {
  try {
    return await openDisk(path)
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
