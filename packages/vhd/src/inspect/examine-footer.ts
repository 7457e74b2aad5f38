import { epochSeconds, zeroUuid } from '../format/constants.ts'
import { geometryBytes, geometryOf } from '../format/geometry.ts'
import type { VhdIssue } from './issue.ts'
import type { Layout } from './layout.ts'

/** vhd-util's own tolerance for clocks that differ. */
const clockSkewSeconds = 1800

/** Judges what a footer says beside the places of things. */
export function examineFooter({ found, fileBytes }: Layout, nowMs: number): VhdIssue[] {
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
