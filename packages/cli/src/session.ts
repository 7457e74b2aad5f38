import path from 'node:path'
import { type CallOptions, type Logger, printable, printableJson } from '@disk-image/core'
import type { ImageUtils, ImageUtilsDependencies } from '@disk-image/image-utils'
import type { Io, TextStream } from './io.ts'
import { both, createDebugLogger, debugWanted, createLogger } from './output/logger.ts'
import {
  chooseProgress,
  createProgressDisplay,
  type ProgressDisplay,
  type ProgressMode,
} from './output/progress.ts'
import { type Style, styleFor } from './output/style.ts'
import type { Opening } from './glance-store.ts'
import { type Patience, patienceOf } from './patience.ts'
import { type Choice, chooseStore, type PlaceFlags, type Store, withoutWeakerPlaces } from './store.ts'

/** Options that every command takes. */
export interface GlobalFlags extends PlaceFlags {
  readonly json?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly progress?: ProgressMode
  readonly retries?: number
  /** Milliseconds. */
  readonly timeout?: number
  readonly yes?: boolean
  readonly force?: boolean
  readonly rootHelper?: string
  readonly conversionDir?: string
  /** `false`: `--no-sandbox`. */
  readonly sandbox?: 'auto' | 'require' | 'off' | false
  /** Of the commands that judge raw disks. */
  readonly allowArchivesAsRaw?: boolean
}

/** What a command works with: its flags, and the ways in which it may speak. */
export class Session {
  readonly io: Io
  readonly flags: GlobalFlags
  /** For standard output. */
  readonly style: Style
  readonly logger: Logger
  readonly #mode: ProgressMode
  #progress: ProgressDisplay
  #store: Promise<Store> | undefined

  readonly #sourceOf: (name: string) => string | undefined

  /** @param sourceOf where a flag's value comes from, in commander's words */
  constructor(io: Io, flags: GlobalFlags, sourceOf: (name: string) => string | undefined = () => 'cli') {
    this.io = io
    this.flags = withoutWeakerPlaces(flags, io.environment, sourceOf)
    this.#sourceOf = sourceOf
    this.style = styleFor(io.stdout, io.environment)
    this.#mode = chooseProgress(flags, io)
    this.#progress = createProgressDisplay(this.#mode, io)
    const toStderr = (line: string): void => this.#toStderr(line)
    const debug = debugWanted(io.environment['NODE_DEBUG'])
    const { quiet = false, verbose = false } = flags
    const logger = createLogger(toStderr, { quiet, verbose })
    const clock = { processId: process.pid, now: () => performance.now() }
    this.logger = debug ? both(logger, createDebugLogger(toStderr, clock)) : logger
  }

  /** Whether the command line itself has an option: what is set elsewhere is for the commands that can use it. */
  isGiven(name: string): boolean {
    return this.#sourceOf(name) === 'cli'
  }

  get progress(): ProgressDisplay {
    return this.#progress
  }

  /** Puts another display in the place of the usual one, where progress is shown at all. */
  useProgress<Display extends ProgressDisplay>(
    create: (stream: TextStream, mode: Exclude<ProgressMode, 'none'>) => Display,
  ): Display | undefined {
    if (this.#mode === 'none') return undefined
    const display = create(this.io.stderr, this.#mode)
    this.#progress = display
    return display
  }

  /** What every call of the facade is given. */
  get call(): CallOptions {
    return { signal: this.io.signal, onProgress: (progress) => this.progress.report(progress) }
  }

  /** Commands go through the root helper where one was given. */
  get runAsRoot(): boolean {
    return this.#rootHelper.length > 0
  }

  get #rootHelper(): string[] {
    return (this.flags.rootHelper ?? '').split(/\s+/).filter((word) => word !== '')
  }

  /** How patient it is with servers, for every client of HTTP. */
  get patience(): Patience {
    return patienceOf(this.flags)
  }

  /** A path as the user gave it, absolute. */
  resolve(file: string): string {
    return path.resolve(this.io.workingDirectory, file)
  }

  /** The facade, with the settings of the command line. @param network how the words of a list are reached */
  async imageUtils({ network }: Pick<ImageUtilsDependencies, 'network'> = {}): Promise<ImageUtils> {
    const { createImageUtils } = await import('@disk-image/image-utils')
    const { conversionDir, sandbox } = this.flags
    return createImageUtils(
      { logger: this.logger, network },
      {
        // Nobody but who runs the command asks for it.
        allowCompressionOnImageUpload: true,
        allowArchivesAsRaw: this.flags.allowArchivesAsRaw,
        imageConversionDir: conversionDir === undefined ? undefined : this.resolve(conversionDir),
        rootHelper: this.#rootHelper,
        sandbox: sandbox === false ? 'off' : (sandbox ?? 'auto'),
      },
    )
  }

  /** Where the images are; opened once. */
  store(flags: GlobalFlags = this.flags): Promise<Store> {
    this.#store ??= openStore(this, chooseStore(flags, this.io))
    return this.#store
  }

  /**
   * The command's answer: one JSON object, or lines for a person. With `--quiet` only what `essential` says,
   * which is nothing unless the answer is what the command was run for.
   */
  answer(
    json: object,
    lines: readonly string[],
    essential: 'all' | 'none' | { readonly line: string } = 'none',
  ): void {
    this.progress.finish('done')
    if (this.flags.json === true) {
      this.io.stdout.write(`${printableJson(json, 2)}\n`)
      return
    }
    const quiet = this.flags.quiet === true && essential !== 'all'
    const shown = quiet ? (essential === 'none' ? [] : [essential.line]) : lines
    if (shown.length > 0) this.io.stdout.write(`${this.style.line(shown.join('\n'))}\n`)
  }

  /** A remark beside the answer, on standard error. */
  remark(line: string): void {
    if (this.flags.quiet !== true && this.flags.json !== true) this.#toStderr(line)
  }

  async close(): Promise<void> {
    this.progress.finish()
    const store = await this.#store?.catch(() => undefined)
    await store?.close()
  }

  #toStderr(line: string): void {
    this.progress.clear()
    this.io.stderr.write(`${printable(line)}\n`)
  }
}

/** Opens the store that was chosen. */
export async function openStore(session: Opening, choice: Choice): Promise<Store> {
  if (choice.kind !== 'folder') {
    const { openGlance } = await import('./glance-store.ts')
    return openGlance(choice, session)
  }
  const { createDirectoryImageService } = await import('@disk-image/image-utils/directory')
  return {
    imageService: createDirectoryImageService({ directory: choice.folder, logger: session.logger }),
    context: {},
    description: `the folder ${choice.folder}`,
    glance: undefined,
    close: async () => undefined,
  }
}
