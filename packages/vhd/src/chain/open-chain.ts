import { InvalidError } from '@disk-image/core'
import { VhdError } from '../errors/vhd-error.ts'
import { zeroUuid } from '../format/constants.ts'
import { openDisk, type ChainSource, type Disk } from './disk.ts'

/** How strictly a chain's members must belong together. */
export interface ChainRules {
  /**
   * Whether a child's note of its parent's uuid must be right. Without it the order of the list alone says
   * who belongs to whom. @default true
   */
  readonly checkParentIds?: boolean | undefined
  /**
   * Whether the last disk may be one whose copy of the footer differs from the footer at the end, as a coalesce
   * leaves it that was killed. @default false
   */
  readonly trustEndFooter?: boolean | undefined
}

/** Several disks as one, leaf first; closing it closes what it opened. */
export interface DiskChain extends AsyncDisposable {
  readonly disks: readonly Disk[]
  /** Bytes that the leaf shows. */
  readonly sizeBytes: number
  close(): Promise<void>
}

/**
 * Opens a chain, leaf first, and judges that its members belong together.
 *
 * @param complete whether the last one must be a disk without parent
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that is broken
 */
export async function openDiskChain(
  elements: readonly ChainSource[],
  rules: ChainRules = {},
  complete = true,
): Promise<DiskChain> {
  if (elements.length === 0) throw new InvalidError({ reason: 'a chain needs at least one disk' })
  const disks: Disk[] = []
  const close = async (): Promise<void> => {
    await Promise.all(disks.map((disk) => disk.close()))
  }
  try {
    for (const [index, element] of elements.entries()) {
      disks.push(await openDisk(element, rules.trustEndFooter === true && index === elements.length - 1))
    }
    judgeChain(disks, rules, complete)
  } catch (error) {
    await close()
    throw error
  }
  return { disks, sizeBytes: (disks[0] as Disk).sizeBytes, close, [Symbol.asyncDispose]: close }
}

function judgeChain(disks: readonly Disk[], rules: ChainRules, complete: boolean): void {
  const seen = new Set<string>()
  for (const { source } of disks) {
    if (source.identity !== undefined && seen.has(source.identity)) {
      throw new VhdError({
        path: source.path,
        rule: 'chain-loop',
        reason: 'the same file is in the chain twice',
      })
    }
    if (source.identity !== undefined) seen.add(source.identity)
  }
  for (const [index, disk] of disks.entries()) {
    const refuse = (rule: string, reason: string, offset?: number, found?: string): never => {
      throw new VhdError({ path: disk.source.path, rule, reason, offset, found })
    }
    const parent = disks[index + 1]
    if (parent === undefined) {
      if (complete && disk.type === 'differencing') {
        refuse('chain-incomplete', 'the last disk of the chain has a parent itself, which is not there', 60)
      }
      return
    }
    if (disk.type !== 'differencing') {
      refuse(
        'not-differencing',
        'it has no parent, but is not the last disk of the chain',
        undefined,
        disk.type,
      )
    }
    judgeParent(disk, parent, rules)
  }
}

/** Judges that a parent is the one that its child means. */
export function judgeParent(child: Disk, parent: Disk, rules: ChainRules): void {
  const expected = child.layout?.dynamic?.header.parentUniqueId ?? zeroUuid
  const offset = (child.layout?.dynamic?.headerOffset ?? 0) + 40
  const refuse = (
    path: string | undefined,
    rule: string,
    reason: string,
    found?: string,
    at?: number,
  ): never => {
    throw new VhdError({ path, rule, reason, found, offset: at })
  }
  if (parent.type === 'raw') {
    if (expected === zeroUuid || rules.checkParentIds === false) return
    refuse(child.source.path, 'parent-uuid', 'it was made on a VHD, not on a raw disk', expected, offset)
    return
  }
  const actual = parent.layout?.found.footer.uniqueId ?? zeroUuid
  if (actual === zeroUuid) {
    refuse(
      parent.source.path,
      'zero-uuid',
      'a parent needs a uuid: without one it is taken for a raw disk',
      actual,
      68,
    )
  }
  if (actual !== expected && rules.checkParentIds !== false) {
    refuse(child.source.path, 'parent-uuid', `it was made on another disk than ${actual}`, expected, offset)
  }
}
