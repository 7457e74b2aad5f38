import type { ImageUtils } from '@disk-image/image-utils'
import { createTransferQueue, type Transfer, type TransferOutcome } from '@disk-image/image-utils/queue'
import { statfs } from 'node:fs/promises'
import { jsonOfReport } from './fetch-report.ts'
import type { ListDefaults } from './list-entry.ts'
import { readNetworkOptions } from './network.ts'
import { confirmOverwrite } from './overwrite.ts'
import { ListReport, planList } from './list-report.ts'
import { type ListedTransfer, readList } from './read-list.ts'
import type { ExitCode } from '../exit-code.ts'
import { toFailure } from '../failure.ts'
import { createManyProgress, type ManyProgress } from '../output/many-progress.ts'
import type { Session } from '../session.ts'

import path from 'node:path'

/** `disk-image fetch --list FILE`. */
export async function fetchList(session: Session, flags: ListDefaults, file: string): Promise<ExitCode> {
  const listed = await readList(session, flags, file)
  const imageUtils = await session.imageUtils({ network: (word) => readNetworkOptions(session, word) })
  if (flags.dryRun === true) return planList(session, imageUtils, listed)
  await confirmOverwrite(
    session,
    listed.map(({ request }) => request.volume),
  )
  const progress = session.useProgress((stream, mode) => createManyProgress(stream, listed.length, mode))
  const report = new ListReport(session)
  const queue = createTransferQueue(
    { imageUtils },
    {
      jobs: flags.jobs,
      jobsPerDevice: flags.jobsPerDevice,
      bytesInFlight: flags.byteBudget ?? (await halfOfFreeSpace(imageUtils)),
      stopOnFailure: flags.stopOnFailure,
      signal: session.io.signal,
      onChange: (transfer) => {
        const wish = byTransfer.get(transfer)
        if (wish === undefined || transfer.state !== 'running') return
        progress?.begin(wish.line, wish.request.volume)
        report.event('begin', wish)
      },
    },
  )
  const byTransfer = new Map<Transfer, ListedTransfer>()
  const ends = listed.map((wish) => {
    const onProgress =
      progress && ((now: Parameters<ManyProgress['reportOn']>[1]): void => progress.reportOn(wish.line, now))
    const transfer = queue.add({ ...wish.request, onProgress })
    byTransfer.set(transfer, wish)
    return transfer.outcome.then((outcome) => {
      byTransfer.delete(transfer)
      finishOne(report, progress, wish, outcome)
    })
  })
  await Promise.all(ends)
  const summary = await queue.finished()
  await queue[Symbol.asyncDispose]()
  session.progress.finish()
  return report.finish(summary, listed.length)
}

function finishOne(
  report: ListReport,
  progress: ManyProgress | undefined,
  wish: ListedTransfer,
  outcome: TransferOutcome,
): void {
  const failure =
    outcome.state === 'failed' ? toFailure(outcome.error, new AbortController().signal) : undefined
  const say = (): void => report.note(wish, outcome, failure)
  // What was never begun is only counted: after Ctrl-C nobody wants a line for each.
  if (outcome.state === 'cancelled') progress?.drop(wish.line)
  else if (progress === undefined) say()
  else progress.end(wish.line, say, outcome.state)
  if (outcome.state === 'done')
    report.event('end', wish, {
      state: 'done',
      ...jsonOfReport(outcome.report),
      shared: outcome.report.shared,
    })
  if (failure !== undefined) report.event('end', wish, { state: 'failed', error: failure.error })
}

/** Temporary files of many shall not fill a disk that each of them alone would fit on. */
async function halfOfFreeSpace({ options }: ImageUtils): Promise<number> {
  for (let folder = options.imageConversionDir; ; folder = path.dirname(folder)) {
    const found = await statfs(folder).catch(() => undefined)
    if (found !== undefined)
      return Math.max(1, Math.min(Number.MAX_SAFE_INTEGER, Math.floor((found.bavail * found.bsize) / 2)))
    if (folder === path.dirname(folder)) return Number.MAX_SAFE_INTEGER
  }
}
