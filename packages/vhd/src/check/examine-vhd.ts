import type { CallOptions } from '@disk-image/core'
import {
  type ByteSource,
  epochSeconds,
  examineLayout,
  geometryBytes,
  geometryOf,
  hasSector,
  isFull,
  readBytes,
  sectorBytes,
  unallocated,
  VhdError,
  type VhdIssue,
  type VhdLayout,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { openSource, type VhdSource } from '../files/vhd-file.ts'
import { describe, type VhdInfo } from './get-vhd-info.ts'
import { openDisk, type OpenDisk } from '../chain/open-chain.ts'
import { findParent, longestChain } from '../chain/parents.ts'

/** vhd-util's own tolerance for clocks that differ. */
const clockSkewSeconds = 1800

/** Options of {@link examineVhd}. */
export interface ExamineOptions extends CallOptions {
  /** Whether every block's bitmap is read, too. @default true */
  readonly bitmaps?: boolean | undefined
  /**
   * Whether a differencing disk's parents are looked up and judged. It follows the disk's locators, which may
   * name any file: not for disks that nobody vouches for. @default true for paths
   */
  readonly parents?: boolean | undefined
  /** Now, in milliseconds since 1970: nothing can be younger. @default the system's clock */
  readonly nowMs?: number | undefined
}

/** Everything that was found out about a VHD. Only data: it can be printed as JSON. */
export interface VhdReport {
  readonly path: string | undefined
  /** Whether there are no issues but warnings. */
  readonly ok: boolean
  readonly issues: readonly VhdIssue[]
  /** Absent where the file can't be read for certain. */
  readonly info: VhdInfo | undefined
}

/** Judges every invariant of a VHD. What is wrong comes back as a list; only I/O errors are thrown. */
export async function examineVhd(vhd: VhdSource, options: ExamineOptions = {}): Promise<VhdReport> {
  const {
    bitmaps = true,
    parents = typeof vhd === 'string',
    nowMs = Date.now(),
    signal,
    onProgress,
  } = options
  signal?.throwIfAborted()
  const source = await openSource(vhd)
  try {
    const layout = await examineLayout(source)
    const issues = [...layout.problems]
    const readable = 'format' in layout && !issues.some(({ severity }) => severity === 'fatal')
    if (readable) {
      issues.push(...examineFooter(layout, nowMs))
      if (bitmaps) issues.push(...(await examineBitmaps(source, layout, { signal, onProgress })))
      if (parents && typeof vhd === 'string') issues.push(...(await examineParent(vhd)))
    }
    return {
      path: source.path,
      ok: issues.every(({ severity }) => severity === 'warning'),
      issues,
      info: readable ? await describe(source, layout) : undefined,
    }
  } finally {
    await source.close()
  }
}

/**
 * Judges every invariant of a VHD and throws the first that is broken; warnings don't count.
 *
 * @throws {VhdError}
 */
export async function checkVhd(vhd: VhdSource, options: ExamineOptions = {}): Promise<void> {
  const { issues, path } = await examineVhd(vhd, options)
  const worst =
    issues.find(({ severity }) => severity === 'fatal') ?? issues.find(({ severity }) => severity === 'error')
  if (worst !== undefined) throw new VhdError({ ...worst, path })
}

/** Judges what a footer says beside the places of things. */
function examineFooter({ found, fileBytes }: VhdLayout, nowMs: number): VhdIssue[] {
  const { footer } = found
  const at = found.origin === 'start' ? 0 : fileBytes - found.tailBytes
  const issues: VhdIssue[] = []
  const warn = (rule: string, reason: string, offset: number, value: string | number): void => {
    issues.push({ severity: 'warning', rule, reason, offset: at + offset, found: String(value) })
  }
  if ((footer.features & 2) === 0) warn('features', 'the reserved feature bit is not set', 8, footer.features)
  if (footer.timestamp + epochSeconds > nowMs / 1000 + clockSkewSeconds) {
    warn('timestamp', 'it was made in the future', 24, footer.timestamp)
  }
  if (footer.currentSizeBytes % 512 !== 0) {
    warn('size-unaligned', 'its size is no whole number of sectors', 48, footer.currentSizeBytes)
  }
  const bytes = geometryBytes(footer.geometry)
  if (bytes !== geometryBytes(geometryOf(footer.currentSizeBytes))) {
    const geometry = Object.values(footer.geometry).join('/')
    warn('geometry', 'its geometry is not the one that belongs to its size', 56, geometry)
  }
  if (footer.uniqueId === zeroUuid)
    warn('zero-uuid', 'it has no uuid, and so can have no children', 68, zeroUuid)
  if (footer.savedState) warn('saved-state', 'it belongs to a machine that is suspended', 84, 1)
  return issues
}

/** How many violations are listed. */
const listed = 16

/** Judges every block's bitmap against the disk's end and against the batmap. */
async function examineBitmaps(
  source: ByteSource,
  { dynamic, sizeBytes }: VhdLayout,
  { signal, onProgress }: CallOptions,
): Promise<VhdIssue[]> {
  if (dynamic === undefined) return []
  const { table, header, bitmapBytes, batmap, blockCount } = dynamic
  const sectors = header.blockSizeBytes / sectorBytes
  const map = batmap?.intact !== true ? undefined : await readBytes(source, batmap.mapOffset, batmap.mapBytes)
  const issues: VhdIssue[] = []
  const add = (
    rule: string,
    severity: VhdIssue['severity'],
    reason: string,
    offset: number,
    block: number,
  ): void => {
    if (issues.length < listed) issues.push({ severity, rule, reason, offset, found: `block ${block}` })
  }
  for (const [block, entry] of table.entries()) {
    const isMarked = map !== undefined && hasSector(map, block)
    if (entry === unallocated) {
      if (isMarked && batmap !== undefined) {
        const offset = batmap.mapOffset + (block >> 3)
        add('batmap-block', 'error', 'the batmap says that a block is full which is not there', offset, block)
      }
      continue
    }
    signal?.throwIfAborted()
    const offset = entry * sectorBytes
    const bitmap = await readBytes(source, offset, bitmapBytes)
    const diskBytes = sizeBytes - block * header.blockSizeBytes
    const used = Math.min(sectors, Math.ceil(diskBytes / sectorBytes))
    if (isMarked && !isFull(bitmap, used)) {
      add('batmap-bits', 'error', 'the batmap says that a block is full whose bitmap has gaps', offset, block)
    }
    for (let sector = used; sector < sectors; sector += 1) {
      if (!hasSector(bitmap, sector)) continue
      add(
        'bitmap-end',
        'warning',
        'a bitmap has sectors behind the end of the disk',
        offset + (sector >> 3),
        block,
      )
      break
    }
    const [completed, total] = [(block + 1) * header.blockSizeBytes, blockCount * header.blockSizeBytes]
    onProgress?.({ stage: 'inspect', completed, total, unit: 'bytes' })
  }
  return issues
}

/** Judges a disk's parents: that they are there, that they are the ones that are meant, that they end. */
async function examineParent(path: string): Promise<VhdIssue[]> {
  const seen = new Set<string>()
  let child = await openDisk(path)
  let childPath = path
  try {
    const issues: VhdIssue[] = []
    while (child.type === 'differencing') {
      const offset = child.layout?.dynamic?.headerOffset ?? 0
      seen.add(child.source.identity ?? childPath)
      const parent = await openParent(child, childPath, offset)
      if ('rule' in parent) return [...issues, parent]
      const { path: parentPath, disk } = parent
      if (seen.has(disk.source.identity ?? parentPath) || seen.size > longestChain) {
        await disk.close()
        const reason = `the chain of ${childPath} comes back to itself`
        return [...issues, { severity: 'error', rule: 'chain-loop', reason, offset: offset + 576 }]
      }
      issues.push(...judgePair(child, disk, parentPath, offset))
      await child.close()
      child = disk
      childPath = parentPath
    }
    return issues
  } finally {
    await child.close()
  }
}

async function openParent(
  child: OpenDisk,
  childPath: string,
  offset: number,
): Promise<VhdIssue | { readonly disk: OpenDisk; readonly path: string }> {
  let path: string
  try {
    path = await findParent(child, childPath)
  } catch (error) {
    if (!(error instanceof VhdError)) throw error
    return {
      severity: 'error',
      rule: error.rule,
      reason: error.reason,
      found: error.found,
      offset: offset + 576,
    }
  }
  try {
    return { disk: await openDisk(path), path }
  } catch (error) {
    if (!(error instanceof VhdError)) throw error
    // A raw parent is marked by the absence of a uuid, and by nothing else.
    const raw = child.layout?.dynamic?.header.parentUniqueId === zeroUuid
    const reason = raw
      ? 'its parent seems to be raw, which is not judged'
      : `its parent is refused: ${error.reason}`
    return {
      severity: raw ? 'warning' : 'error',
      rule: raw ? 'parent-raw' : 'parent-damaged',
      reason,
      offset: offset + 40,
    }
  }
}

function judgePair(child: OpenDisk, parent: OpenDisk, parentPath: string, offset: number): VhdIssue[] {
  const header = child.layout?.dynamic?.header
  const footer = parent.layout?.found.footer
  if (header === undefined || footer === undefined) return []
  const issues: VhdIssue[] = []
  if (header.parentUniqueId !== footer.uniqueId) {
    const reason = `${parentPath} is another disk than the one it was made on`
    issues.push({
      severity: 'error',
      rule: 'parent-uuid',
      reason,
      found: footer.uniqueId,
      offset: offset + 40,
    })
  }
  // XenServer notes when the file was written, others when the disk was made.
  const written = Math.floor((parent.source.modifiedMs ?? 0) / 1000) - epochSeconds
  if (![written, footer.timestamp].includes(header.parentTimestamp)) {
    const reason = `${parentPath} has another time stamp than was noted`
    const found = String(header.parentTimestamp)
    issues.push({ severity: 'warning', rule: 'parent-timestamp', reason, found, offset: offset + 56 })
  }
  if (child.sizeBytes < parent.sizeBytes) {
    const found = `${child.sizeBytes} bytes on ${parent.sizeBytes}`
    issues.push({
      severity: 'warning',
      rule: 'child-smaller',
      reason: 'its disk is smaller than that of its parent',
      found,
    })
  }
  return issues
}
