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
