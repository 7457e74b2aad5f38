import type { Logger } from '@disk-image/core'

type Task = () => PromiseLike<unknown>

/**
 * What has to be undone at the end of an operation, last made first undone.
 *
 * `always` tasks run on every exit, `onFailure` tasks only where the operation failed. A task that fails
 * doesn't keep the others from running, and neither hides the operation's error nor takes its result away: it is
 * told to the log.
 */
export class Cleanup {
  readonly #always: Task[] = []
  readonly #onFailure: Task[] = []

  always(task: Task): void {
    this.#always.push(task)
  }

  onFailure(task: Task): void {
    this.#onFailure.push(task)
  }

  /** Runs an operation with its own cleanup. What it returns or throws is the operation's own. */
  static async around<Result>(
    logger: Logger,
    operation: (cleanup: Cleanup) => Promise<Result>,
  ): Promise<Result> {
    const cleanup = new Cleanup()
    let result: Result
    try {
      result = await operation(cleanup)
    } catch (error) {
      await runAll(logger, [...cleanup.#onFailure.toReversed(), ...cleanup.#always.toReversed()])
      throw error
    }
    await runAll(logger, cleanup.#always.toReversed())
    return result
  }
}

async function runAll(logger: Logger, tasks: readonly Task[]): Promise<void> {
  for (const task of tasks) {
    try {
      await task()
    } catch (error) {
      logger.warn('Something was left behind: its cleanup failed', { error })
    }
  }
}
