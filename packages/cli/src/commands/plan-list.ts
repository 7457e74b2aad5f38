import { formatBytes, printable } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import { ListReport } from './list-report.ts'
import type { ListedTransfer } from './read-list.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { toFailure } from '../failure.ts'
import type { Session } from '../session.ts'

/** `fetch --list FILE --dry-run`: what would become of each line. Nothing is written. */
export async function planList(
  session: Session,
  imageUtils: ImageUtils,
  listed: readonly ListedTransfer[],
): Promise<ExitCode> {
  const report = new ListReport(session)
  const codes = new Set<ExitCode>()
  const tell = (line: string): void => {
    if (session.flags.json !== true) session.io.stdout.write(`${printable(line)}\n`)
  }
  let failed = 0
  for (const wish of listed) {
    session.io.signal.throwIfAborted()
    const { request } = wish
    const what = `${request.imageId} → ${request.volume}`
    try {
      const plan = await imageUtils.planImageToVolume({ ...request, signal: session.io.signal })
      const [refusal] = plan.refusals
      report.event('plan', wish, plan)
      if (refusal === undefined) {
        tell(
          `fine     ${what}  ${plan.format ?? 'format not known yet'}, ${formatBytes(plan.temporaryBytes)} temporary`,
        )
        continue
      }
      codes.add(exitCodes.refused)
      tell(`REFUSED  ${what}  ${refusal.reason}`)
    } catch (error) {
      session.io.signal.throwIfAborted()
      const failure = toFailure(error, session.io.signal)
      codes.add(failure.exitCode)
      report.event('plan', wish, { error: failure.error })
      tell(`FAILED   ${what}  ${failure.error.message.split('\n', 1)[0]}`)
    }
    failed += 1
  }
  tell(
    `${listed.length - failed} of ${listed.length} can be fetched as far as is known. Nothing was written.`,
  )
  const [code = exitCodes.done] = codes
  return codes.size > 1 ? exitCodes.failed : code
}
