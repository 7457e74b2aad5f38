import { epochSeconds, VhdError, type VhdIssue, zeroUuid } from '@disk-image/disk/vhd'
import { openDisk, type OpenDisk } from '../chain/open-chain.ts'
import { findParent, longestChain } from '../chain/parents.ts'

/** Judges a disk's parents: that they are there, that they are the ones that are meant, that they end. */
export async function examineParent(path: string): Promise<VhdIssue[]> {
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
