import type { Layout } from '@disk-image/core'
import type { StreamPlan, StreamPlanOptions } from './stream-decoder.ts'

/**
 * Supports what the parse of a head found nothing wrong with.
 *
 * @param but the check that the policy may let pass, and that tells nothing of where the data lies
 */
export function planLayout<L extends Layout>(
  layout: L,
  { maximumSizeBytes = Number.MAX_SAFE_INTEGER }: StreamPlanOptions,
  but?: 'clean',
): StreamPlan<L> {
  const { format, sizeBytes, problems } = layout
  const problem = problems.find(({ rule }) => rule !== `${format}-${but}`)
  if (problem !== undefined) return { supported: false, reason: `${problem.reason}.` }
  if (sizeBytes > maximumSizeBytes) {
    return { supported: false, reason: `Its disk has ${sizeBytes} bytes, more than ${maximumSizeBytes}.` }
  }
  return { supported: true, sizeBytes, layout }
}
