/** A stream that text is written to: the process's own, or one that a test reads. */
export interface TextStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  /** Columns of the terminal. */
  readonly columns?: number | undefined
  /** Lines of the terminal. */
  readonly rows?: number | undefined
  /** A terminal says when its window changes. */
  on?(event: 'resize', listener: () => void): unknown
  off?(event: 'resize', listener: () => void): unknown
}

/** The world of one run of the command. */
export interface Io {
  readonly stdout: TextStream
  readonly stderr: TextStream
  /**
   * Takes standard output for bytes: text for it goes to standard error from then on. Each write resolves when the
   * bytes are taken. Absent where there is none.
   */
  readonly takeOutput?: (() => (bytes: Uint8Array) => Promise<void>) | undefined
  /** Opens standard input; absent where there is none. */
  readonly stdin?: (() => AsyncIterable<Uint8Array>) | undefined
  /** Asks who sits at the terminal, and resolves to the answer; absent where nobody does. */
  readonly ask?: ((question: string) => Promise<string>) | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  /** What relative paths are relative to. */
  readonly workingDirectory: string
  /** Ends the run. */
  readonly signal: AbortSignal
}
