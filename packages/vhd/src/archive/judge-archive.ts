import {
  type ChainDisk,
  type DynamicLayout,
  maximumLocatorBytes,
  type VhdType,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { readLocators } from '../chain/parents.ts'
import { XenserverArchiveError, type XenserverArchiveErrorInit } from '../errors.ts'
import type { ResolvedLimits } from './limits.ts'

/** Something odd about an archive that is no reason to refuse it. */
export interface ArchiveWarning {
  readonly member: string
  readonly rule: string
  readonly reason: string
  readonly found?: string | undefined
}

/** What the head of a disk tells, before any of its blocks. */
export interface MemberHead {
  readonly name: string
  readonly type: VhdType
  readonly sizeBytes: number
  readonly uniqueId: string
  /** Absent of a fixed disk. */
  readonly dynamic: Pick<DynamicLayout, 'header' | 'headerOffset'> | undefined
}

/** What a disk that was read as a whole has at its head. */
export function headOf(name: string, { type, sizeBytes, layout }: ChainDisk): MemberHead {
  if (type === 'raw' || layout === undefined) throw new RangeError('an archive has no raw disk')
  return { name, type, sizeBytes, uniqueId: layout.found.footer.uniqueId, dynamic: layout.dynamic }
}

/**
 * Judges the disks of an archive, leaf first, one after the other. Who belongs to whom is said by their names alone:
 * what a disk says about its parent's place is never followed, and where it names another place than the archive, the
 * archive is refused.
 */
export class ChainJudge {
  /** What is odd, and no reason to refuse. */
  readonly warnings: ArchiveWarning[] = []
  readonly #limits: ResolvedLimits
  readonly #names = new Map<string, string>()
  #child: MemberHead | undefined

  constructor(limits: ResolvedLimits) {
    this.#limits = limits
  }

  /**
   * Judges the next disk by its head, and whether it is the parent of the one before.
   *
   * @throws {XenserverArchiveError}
   */
  add(member: MemberHead): void {
    const { name, uniqueId, sizeBytes, type, dynamic } = member
    const refuse = (init: Omit<XenserverArchiveErrorInit, 'member'>): never => {
      throw new XenserverArchiveError({ member: name, ...init })
    }
    if (sizeBytes > this.#limits.maxVirtualSizeBytes) {
      const found = `${sizeBytes} bytes`
      refuse({ rule: 'virtual-size', reason: 'its disk is larger than it may be', found, offset: 48 })
    }
    const twin = this.#names.get(uniqueId)
    if (twin !== undefined) {
      refuse({ rule: 'chain-loop', reason: `it has the same uuid as ${twin}`, found: uniqueId, offset: 68 })
    }
    this.#names.set(uniqueId, name)
    if (this.#child !== undefined && uniqueId === zeroUuid) {
      const reason = 'a parent without a uuid is taken for a raw disk'
      refuse({ rule: 'zero-uuid', reason, found: uniqueId, offset: 68 })
    }
    if (this.#child !== undefined) this.#judgePair(this.#child, member)
    const parentId = type === 'differencing' ? dynamic?.header.parentUniqueId : undefined
    const younger = parentId === undefined ? undefined : this.#names.get(parentId)
    if (younger !== undefined) {
      const reason = `it says that its parent is ${younger}, which would be a loop`
      const offset = (dynamic?.headerOffset ?? 0) + 40
      refuse({ rule: 'chain-loop', reason, found: parentId, offset })
    }
    this.#child = member
  }

  /**
   * Judges what else it says, when all of its metadata is there.
   *
   * @throws {XenserverArchiveError}
   */
  async judgeWhole(name: string, disk: ChainDisk): Promise<void> {
    for (const { rule, reason, found } of disk.layout?.problems ?? []) {
      this.warnings.push({ member: name, rule, reason, found })
    }
    await judgeLocators(name, disk)
  }

  /** @throws {XenserverArchiveError} where the last disk has a parent */
  end(): void {
    const last = this.#child
    if (last?.type !== 'differencing') return
    throw new XenserverArchiveError({
      member: last.name,
      rule: 'chain-incomplete',
      reason: 'its parent is not in the archive',
      offset: 60,
    })
  }

  #judgePair({ name, type, sizeBytes, dynamic }: MemberHead, parent: MemberHead): void {
    if (type !== 'differencing' || dynamic === undefined) {
      const reason = `it has no parent, but ${parent.name} follows`
      throw new XenserverArchiveError({ member: name, rule: 'chain-type', reason, found: type, offset: 60 })
    }
    if (sizeBytes < parent.sizeBytes) {
      throw new XenserverArchiveError({
        member: name,
        rule: 'child-smaller',
        reason: `its disk is smaller than that of its parent ${parent.name}`,
        found: `${sizeBytes} bytes`,
        accepted: `${parent.sizeBytes} bytes or more`,
        offset: 48,
      })
    }
    const found = dynamic.header.parentUniqueId
    if (parent.uniqueId === found) return
    const reason = `it was made on another disk than ${parent.name}`
    this.warnings.push({ member: name, rule: 'parent-uuid', reason, found })
  }
}

async function judgeLocators(name: string, disk: ChainDisk): Promise<void> {
  for (const { platform, path, lengthBytes, offset } of await readLocators(disk)) {
    if (lengthBytes === 0) continue
    const outside =
      path === undefined
        ? ['MacX', 'W2ru', 'W2ku', 'Wi2r', 'Wi2k'].includes(platform) && lengthBytes <= maximumLocatorBytes
        : path.startsWith('/') || path.split('/').includes('..') || path.includes('\0')
    if (!outside) continue
    throw new XenserverArchiveError({
      member: name,
      rule: 'locator-outside',
      reason: 'it says that its parent is somewhere outside of the archive',
      found: path === undefined ? platform : JSON.stringify(path.slice(0, 100)),
      offset,
      accepted: './N.vhd',
    })
  }
}
