import type { CallOptions } from '@disk-image/core'
import { VhdError } from '../errors/vhd-error.ts'
import { examine } from '../inspect/examine.ts'
import { examineBitmaps } from '../inspect/examine-bitmaps.ts'
import { examineFooter } from '../inspect/examine-footer.ts'
import { examineParent } from '../inspect/examine-parent.ts'
import type { VhdIssue } from '../inspect/issue.ts'
import { openSource, type VhdSource } from '../io/byte-source.ts'
import { describe, type VhdInfo } from './get-vhd-info.ts'

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
    const layout = await examine(source)
    const issues = [...layout.issues]
    const readable = 'fileBytes' in layout && !issues.some(({ severity }) => severity === 'fatal')
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
