import { spaceError, type SpaceNeed } from '@disk-image/host'
import { VhdError, XenserverArchiveError } from '@disk-image/vhd'

/**
 * Runs what writes VHDs by itself, and names the error where there was no room: as `ImageTooBigError`, with
 * the folder and what was free.
 */
export async function withSpace<Result>(need: SpaceNeed, operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation()
  } catch (error) {
    const path = error instanceof VhdError ? (error.path ?? need.path) : need.path
    throw (await spaceError(systemErrorOf(error), { ...need, path })) ?? error
  }
}

/** The system's error behind a refusal, or the one that would have come. */
function systemErrorOf(error: unknown): unknown {
  if (!(error instanceof VhdError || error instanceof XenserverArchiveError)) return error
  // What an archive may unpack to is what is free.
  if (error.rule !== 'no-space' && error.rule !== 'size-limit') return error.cause
  return Object.assign(new Error(error.message, { cause: error }), { code: 'ENOSPC' })
}
