import { formatBytes, printableJson } from '@disk-image/core'
import type { TransferOutcome, TransferSummary } from '@disk-image/image-utils/queue'
import type { ListedTransfer } from './read-list.ts'
import { type ExitCode, exitCodes } from '../exit-code.ts'
import type { Failure } from '../failure.ts'
import { alignRows, type Cell } from '../output/table.ts'
import { formatRate, formatSeconds } from '../output/units.ts'
import type { Session } from '../session.ts'

/** Images up to which the table has a row for each; of more only those that failed. */
const wholeTable = 200
/** Failures that the table tells of. */
const maximumFailures = 1000

/** One line about one that is over. */
export function describeOutcome(
  { request }: ListedTransfer,
  outcome: TransferOutcome,
  failure: Failure | undefined,
): string {
  const what = `${request.imageId} → ${request.volume}`
  if (outcome.state === 'done') {
    const { virtualSizeBytes, durationSeconds } = outcome.report
    return `done    ${what}  ${formatBytes(virtualSizeBytes)}  ${formatSeconds(durationSeconds.total)}`
  }
  return failure === undefined ? `ended   ${what}` : `FAILED  ${what}  ${firstLine(failure)}`
}

function firstLine({ error }: Failure): string {
  return error.message.split('\n', 1)[0] ?? ''
}

/** What a list came to: events while it runs with `--json`, a table and counts at its end. */
export class ListReport {
  readonly #session: Session
  readonly #startedMs = performance.now()
  readonly #rows: { readonly failed: boolean; readonly line: number; readonly cells: readonly Cell[] }[] = []
  readonly #exitCodes = new Set<ExitCode>()
  #failures = 0

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

  note({ line, request }: ListedTransfer, outcome: TransferOutcome, failure: Failure | undefined): void {
    const { style } = this.#session
    const names = [request.imageId, request.volume]
    if (failure !== undefined) {
      this.#exitCodes.add(failure.exitCode)
      this.#failures += 1
      if (this.#failures > maximumFailures) return
      const cells = [{ text: 'FAILED', paint: style.bad }, ...names, '', '', firstLine(failure)]
      this.#rows.push({ failed: true, line, cells })
    } else if (outcome.state === 'done' && this.#rows.length <= wholeTable + maximumFailures) {
      const { virtualSizeBytes, durationSeconds, hash } = outcome.report
      const verified = hash?.verified === true ? `${hash.algorithm} verified` : 'unverified'
      const cells = [
        { text: 'done', paint: style.good },
        ...names,
        formatBytes(virtualSizeBytes),
        formatSeconds(durationSeconds.total),
        verified,
      ]
      this.#rows.push({ failed: false, line, cells })
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
      const rows = this.#rows
        .filter((row) => row.failed || (total <= wholeTable && flags.quiet !== true))
        .toSorted((a, b) => a.line - b.line)
      const more = this.#failures - maximumFailures
      const counts = [
        `${done} of ${total} done`,
        ...(failed > 0 ? [`${failed} failed`] : []),
        ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
        `${formatBytes(bytesDownloaded)} downloaded`,
        `${formatBytes(bytesWritten)} written`,
        formatSeconds(seconds),
        ...(seconds > 0.05 ? [formatRate(bytesDownloaded / seconds)] : []),
      ]
      const lines = [
        ...alignRows(rows.map(({ cells }) => cells)),
        ...(more > 0 ? [`and ${more} more failures`] : []),
        `${counts.join(', ')}.`,
      ]
      io.stdout.write(`${lines.join('\n')}\n`)
    }
    if (io.signal.aborted) return exitCodes.cancelled
    if (failed === 0) return cancelled === 0 ? exitCodes.done : exitCodes.failed
    const [code = exitCodes.failed] = this.#exitCodes
    return this.#exitCodes.size === 1 ? code : exitCodes.failed
  }
}
