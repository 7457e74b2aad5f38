import { formatBytes, printableJson, printable } from '@disk-image/core'
import type { TransferOutcome, TransferSummary } from '@disk-image/image-utils/queue'
import type { ImageUtils } from '@disk-image/image-utils'
import type { ListedTransfer } from './read-list.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import { type Failure, toFailure } from '../failure.ts'
import { formatRate, formatSeconds } from '../output/units.ts'
import type { Session } from '../session.ts'

function firstLine({ error }: Failure): string {
  return error.message.split('\n', 1)[0] ?? ''
}

/** What becomes of a list: a line for each when it is over, or events with `--json`, and counts at the end. */
export class ListReport {
  readonly #session: Session
  readonly #startedMs = performance.now()
  readonly #exitCodes = new Set<ExitCode>()

  constructor(session: Session) {
    this.#session = session
  }

  /** One JSON object on a line of its own. */
  event(event: string, { line, request }: ListedTransfer, more: object = {}): void {
    const { imageId, volume } = request
    if (this.#session.flags.json === true) {
      // Where both are the same terminal, no object may land in the middle of the picture.
      this.#session.progress.clear()
      this.#session.io.stdout.write(`${printableJson({ event, line, imageId, volume, ...more })}\n`)
    }
  }

  /** One that is over. With `--quiet` only what failed is told. */
  note({ request }: ListedTransfer, outcome: TransferOutcome, failure: Failure | undefined): void {
    const { flags, style, io } = this.#session
    if (failure !== undefined) this.#exitCodes.add(failure.exitCode)
    if (flags.json === true || (flags.quiet === true && failure === undefined)) return
    const what = `${request.imageId} → ${request.volume}`
    if (failure !== undefined) {
      io.stdout.write(`${style.line(`${style.bad('FAILED')}  ${what}  ${firstLine(failure)}`)}\n`)
    } else if (outcome.state === 'done') {
      const { virtualSizeBytes, durationSeconds, hash, verified: compared } = outcome.report
      const name = hash?.verified === true ? hash.algorithm : compared[0]?.algorithm
      const verified = name === undefined ? 'unverified' : `${name} verified`
      const amount = `${formatBytes(virtualSizeBytes)}  ${formatSeconds(durationSeconds.total)}  ${verified}`
      io.stdout.write(`${style.line(`${style.good('done')}    ${what}  ${amount}`)}\n`)
    }
  }

  /** The last word. */
  finish(summary: TransferSummary, total: number): ExitCode {
    const { done, failed, cancelled, bytesDownloaded, bytesWritten } = summary
    const seconds = (performance.now() - this.#startedMs) / 1000
    const { flags, io } = this.#session
    if (flags.json === true) {
      const durationSeconds = Math.round(seconds * 1000) / 1000
      io.stdout.write(`${printableJson({ event: 'summary', total, ...summary, durationSeconds })}\n`)
    } else if (flags.quiet !== true || failed > 0) {
      const counts = [
        `${done} of ${total} done`,
        ...(failed > 0 ? [`${failed} failed`] : []),
        ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
        `${formatBytes(bytesDownloaded)} downloaded`,
        `${formatBytes(bytesWritten)} written`,
        formatSeconds(seconds),
        ...(seconds > 0.05 ? [formatRate(bytesDownloaded / seconds)] : []),
      ]
      io.stdout.write(`${counts.join(', ')}.\n`)
    }
    if (io.signal.aborted) return exitCodes.cancelled
    if (failed === 0) return cancelled === 0 ? exitCodes.done : exitCodes.failed
    const [code = exitCodes.failed] = this.#exitCodes
    return this.#exitCodes.size === 1 ? code : exitCodes.failed
  }
}

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
