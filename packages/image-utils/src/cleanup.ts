type Task = () => PromiseLike<unknown>

/**
 * What has to be undone at the end of an operation, last made first undone.
 *
 * `always` tasks run on every exit, `onFailure` tasks only where the operation failed. A task that fails
 * doesn't keep the others from running.
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

  /** Runs an operation with its own cleanup. The operation's error wins over an error of the cleanup. */
  static async around<Result>(operation: (cleanup: Cleanup) => Promise<Result>): Promise<Result> {
    const cleanup = new Cleanup()
    let result: Result
    try {
      result = await operation(cleanup)
    } catch (error) {
      await runAll([...cleanup.#onFailure.toReversed(), ...cleanup.#always.toReversed()])
      throw error
    }
    const [failure] = await runAll(cleanup.#always.toReversed())
    if (failure !== undefined) throw failure.error
    return result
  }
}

async function runAll(tasks: readonly Task[]): Promise<{ readonly error: unknown }[]> {
  const failures: { readonly error: unknown }[] = []
  for (const task of tasks) {
    try {
      await task()
    } catch (error) {
      failures.push({ error })
    }
  }
  return failures
}
