import type { CallOptions } from '@disk-image/core'
import {
  epochSeconds,
  examineLayout,
  VhdError,
  type VhdIssue,
  type VhdLayout,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { openSource, type VhdSource } from '../files/vhd-file.ts'
import { geometryBytes, geometryOf } from '../format/encode.ts'
import { examineBitmaps } from './examine-bitmaps.ts'
import { examineParent } from './examine-parent.ts'
import { describe, type VhdInfo } from './get-vhd-info.ts'

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
