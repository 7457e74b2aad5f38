import { maximumLocatorBytes, zeroUuid } from '@disk-image/disk/vhd'
import type { OpenDisk } from '../chain/open-chain.ts'
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

/** A member of the chain, open. */
export interface OpenMember {
  readonly name: string
  readonly disk: OpenDisk
}

/**
 * Judges the disks of an archive, leaf first. Who belongs to whom is said by their names alone: what a disk
 * says about its parent's place is never followed, and where it names another place than the archive, the
 * archive is refused.
 *
 * @throws {XenserverArchiveError}
 */
export async function judgeMembers(
  members: readonly OpenMember[],
  limits: ResolvedLimits,
): Promise<ArchiveWarning[]> {
  const warnings: ArchiveWarning[] = []
  const uuids = new Map<string, string>()
  for (const [index, { name, disk }] of members.entries()) {
    const refuse = (init: Omit<XenserverArchiveErrorInit, 'member'>): never => {
      throw new XenserverArchiveError({ member: name, ...init })
    }
    const footer = disk.layout?.found.footer
    const uuid = footer?.uniqueId ?? zeroUuid
    if (disk.sizeBytes > limits.maxVirtualSizeBytes) {
      const found = `${disk.sizeBytes} bytes`
      refuse({ rule: 'virtual-size', reason: 'its disk is larger than it may be', found, offset: 48 })
    }
    for (const issue of disk.layout?.problems ?? []) {
      if (issue.rule === 'footers-differ') refuse(issue)
      warnings.push({ member: name, rule: issue.rule, reason: issue.reason, found: issue.found })
    }
    const twin = uuids.get(uuid)
    if (twin !== undefined) {
      refuse({ rule: 'chain-loop', reason: `it has the same uuid as ${twin}`, found: uuid, offset: 68 })
    }
    uuids.set(uuid, name)
    if (index > 0 && uuid === zeroUuid) {
      refuse({
        rule: 'zero-uuid',
        reason: 'a parent without a uuid is taken for a raw disk',
        found: uuid,
        offset: 68,
      })
    }
    await judgeLocators({ name, disk })
    const parent = members[index + 1]
    if (parent === undefined) {
      if (disk.type === 'differencing') {
        refuse({ rule: 'chain-incomplete', reason: 'its parent is not in the archive', offset: 60 })
      }
      continue
    }
    judgePair({ name, disk }, parent, uuids, warnings)
  }
  return warnings
}

function judgePair(
  { name, disk }: OpenMember,
  parent: OpenMember,
  uuids: ReadonlyMap<string, string>,
  warnings: ArchiveWarning[],
): void {
  const dynamic = disk.layout?.dynamic
  if (disk.type !== 'differencing' || dynamic === undefined) {
    const reason = `it has no parent, but ${parent.name} follows`
    throw new XenserverArchiveError({
      member: name,
      rule: 'chain-type',
      reason,
      found: disk.type,
      offset: 60,
    })
  }
  const expected = dynamic.header.parentUniqueId
  const offset = dynamic.headerOffset + 40
  const younger = uuids.get(expected)
  if (younger !== undefined) {
    const reason = `it says that its parent is ${younger}, which would be a loop`
    throw new XenserverArchiveError({ member: name, rule: 'chain-loop', reason, found: expected, offset })
  }
  if (disk.sizeBytes < parent.disk.sizeBytes) {
    throw new XenserverArchiveError({
      member: name,
      rule: 'child-smaller',
      reason: `its disk is smaller than that of its parent ${parent.name}`,
      found: `${disk.sizeBytes} bytes`,
      accepted: `${parent.disk.sizeBytes} bytes or more`,
      offset: 48,
    })
  }
  const actual = parent.disk.layout?.found.footer.uniqueId
  if (actual !== expected) {
    const reason = `it was made on another disk than ${parent.name}`
    warnings.push({ member: name, rule: 'parent-uuid', reason, found: expected })
  }
}

async function judgeLocators({ name, disk }: OpenMember): Promise<void> {
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
