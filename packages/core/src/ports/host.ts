/** A command as data: no shell ever sees it. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
}

/** Bounds that the kernel holds a process to. */
export interface ProcessLimits {
  /** Seconds of CPU time, over all threads. */
  readonly cpuSeconds?: number | undefined
  /** Bytes of address space. */
  readonly addressSpaceBytes?: number | undefined
  /** Bytes of the largest file that it may write. */
  readonly fileSizeBytes?: number | undefined
}

/** What a sandboxed process may see of the file system; nothing else is there for it. */
export interface ProcessFileAccess {
  /** Absolute paths of files and devices that it reads. */
  readonly read?: readonly string[]
  /** Absolute paths of files and devices that it writes. */
  readonly write?: readonly string[]
  /** Absolute paths of directories in which it makes files. */
  readonly writeDirectories?: readonly string[]
}

/** How one command is run. */
export interface RunOptions {
  readonly signal?: AbortSignal | undefined
  /** Wall-clock limit. @default none */
  readonly timeoutMs?: number | undefined
  readonly limits?: ProcessLimits | undefined
  /** Run through the configured root helper. Without one: as the process's own user. @default false */
  readonly asRoot?: boolean | undefined
  /** Put before the command, for example `['ionice', '-c3']`. @default [] */
  readonly prefix?: readonly string[] | undefined
  /**
   * Written to the command's standard input, which is empty otherwise. An iterable is asked for more as the command
   * takes it, and is ended early where the command ends.
   */
  readonly input?: string | Uint8Array | AsyncIterable<Uint8Array> | undefined
  /** Called for every line of standard output; lines end at `\n` or `\r`. */
  readonly onLine?: ((line: string) => void) | undefined
  /**
   * Takes standard output as it comes, in place of the result's `stdout`: the next part waits until the promise has
   * settled, and an error ends the command and is passed on as it is. The bytes are lent.
   */
  readonly onOutput?: ((bytes: Uint8Array) => Promise<void> | void) | undefined
  /** Most bytes of output kept, of each stream; more of it ends the command. @default 16 MiB */
  readonly maxOutputBytes?: number | undefined
  /** What the command touches. A runner with a sandbox shows it nothing else. */
  readonly files?: ProcessFileAccess | undefined
  /** Variables over the runner's own small environment (`PATH`, `LC_ALL=C`). */
  readonly environment?: Readonly<Record<string, string>> | undefined
}

/** How a command that succeeded ended. */
export interface ProcessResult {
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
}

/**
 * Starts processes. One method, so that a test or another way of running things can stand in.
 *
 * `run` rejects with {@link ProcessExecutionError} for every end but exit code 0, and with the signal's own
 * reason after an abort; by then the whole process group is gone.
 */
export interface ProcessRunner {
  run(command: Command, options?: RunOptions): Promise<ProcessResult>
}

/** A file or directory that is removed when its user is done with it. */
export interface TemporaryPath extends AsyncDisposable {
  readonly path: string
}

/** How a temporary file is named. */
export interface TemporaryFileOptions {
  readonly prefix?: string | undefined
  /** Cinder puts the back end's name here, so that its leftovers can be told. */
  readonly suffix?: string | undefined
}

/** Makes temporary files, mode 0600, in one directory. */
export interface TemporaryFiles {
  readonly directory: string
  /** An empty file that stays until somebody removes it. */
  createFile(options?: TemporaryFileOptions): Promise<string>
  /** The same, removed at the end of the handle's scope. */
  file(options?: TemporaryFileOptions): Promise<TemporaryPath>
  temporaryDirectory(options?: TemporaryFileOptions): Promise<TemporaryPath>
  /** Removes every file whose name ends with the suffix. */
  cleanup(suffix: string): Promise<void>
}

/** The time, for durations, timeouts and tokens that end. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  monotonicMs(): number
  /** Milliseconds since 1970-01-01 UTC. */
  wallMs(): number
}
