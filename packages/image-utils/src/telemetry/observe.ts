import type { CallOptions, DownloadReport } from '@disk-image/core'
import type { Operation, OperationName, Telemetry } from './telemetry.ts'

/** Runs an operation under telemetry, which also hears of its progress where it wants to. */
export function observe<Request extends CallOptions, Result>(
  telemetry: Telemetry,
  name: OperationName,
  request: Request,
  run: (request: Request, operation: Operation) => Promise<Result>,
): Promise<Result> {
  return telemetry.operation(name, request.signal, (operation) => {
    const { onProgress: hear } = operation
    if (hear === undefined) return run(request, operation)
    const { onProgress: tell } = request
    return run(
      {
        ...request,
        onProgress: (progress) => {
          hear(progress)
          tell?.(progress)
        },
      },
      operation,
    )
  })
}

/** The same for a fetch, which is one stage. */
export function observeFetch<Keywords extends CallOptions>(
  telemetry: Telemetry,
  keywords: Keywords,
  run: (keywords: Keywords) => Promise<DownloadReport>,
): Promise<DownloadReport> {
  return observe(telemetry, 'fetch', keywords, async (heard, operation) => {
    const report = await operation.stage('download', () => run(heard))
    operation.note({ bytesDownloaded: report.bytes, resumes: report.resumes })
    return report
  })
}
