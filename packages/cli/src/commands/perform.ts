import type { ExitCode } from '../exit-code.ts'
import type { GlobalFlags, Session } from '../session.ts'

/** What a command does. It returns an exit code where that is not 0, and throws for every failure. */
export type Action<Flags> = (
  session: Session,
  flags: Flags & GlobalFlags,
  operands: readonly string[],
) => Promise<ExitCode | void>

/** Turns an action into what commander calls. */
export type Perform = <Flags>(action: Action<Flags>) => (...parameters: unknown[]) => Promise<void>
