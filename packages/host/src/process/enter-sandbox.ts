import { stat } from 'node:fs/promises'
import path from 'node:path'
import { type Logger, NotSupportedOperationError, type ProcessFileAccess } from '@disk-image/core'
import { findExecutable } from './executable.ts'
import { openDescriptors, prepareFiles, sandboxCommand, withDescriptors } from './sandbox.ts'
import type { Binding } from './sandbox.ts'

/** Whether commands that declare their files run in a sandbox. */
export type SandboxMode =
  /** Where bubblewrap works; otherwise without, which is logged. */
  | 'auto'
  /** Always; a command is refused where bubblewrap does not work. */
  | 'require'
  | 'off'

/** bubblewrap where it works. */
interface UsableSandbox {
  readonly program: string
  /** Opens what is bound by descriptor; absent where bubblewrap can't do that. */
  readonly shell: string | undefined
}

/** What a runner's sandboxes have in common. */
export interface SandboxInit {
  readonly mode: SandboxMode
  readonly rootHelper: readonly string[]
  readonly searchPath: string
  readonly works: (argv: readonly [string, ...string[]]) => Promise<boolean>
  readonly logger: Logger
}

const sandboxAdvice =
  'Install it with: apt-get install bubblewrap. Where it is installed and does not work, unprivileged user namespaces are off (see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns).'

/** The part of a command line that makes the sandbox, and the files that were made so that it can show them. */
export interface EnteredSandbox {
  readonly argv: readonly string[]
  readonly created: readonly string[]
}

/** Finds out once for each kind of call whether bubblewrap works, and makes the sandbox of each command. */
export class Sandboxes {
  readonly #init: SandboxInit
  readonly #usable = new Map<boolean, Promise<UsableSandbox | undefined>>()

  constructor(init: SandboxInit) {
    this.#init = init
  }

  /**
   * @param needsRoot whether the command goes through the root helper
   * @param file the program
   * @returns undefined where it runs without a sandbox
   * @throws {NotSupportedOperationError} where it must not
   */
  async enter(
    files: ProcessFileAccess | undefined,
    needsRoot: boolean,
    file: string,
    environment: Readonly<Record<string, string>>,
  ): Promise<EnteredSandbox | undefined> {
    const { mode } = this.#init
    if (mode === 'off' || files === undefined) return undefined
    const usable = await this.#findUsable(needsRoot)
    if (usable === undefined) {
      if (mode !== 'require') return undefined
      const reason = `bubblewrap is not usable. ${sandboxAdvice}`
      throw new NotSupportedOperationError({ operation: 'sandbox', reason })
    }
    const ownId = process.getuid?.() ?? 0
    const asRoot = needsRoot || ownId === 0
    const { bindings: declared, created, foreign } = await prepareFiles(files, asRoot ? 0 : ownId)
    const { program, shell } = usable
    const shown = shell === undefined ? declared : withDescriptors(declared)
    const bindings = [...(await programBindings(file)), ...shown]
    const opened = shell === undefined ? [] : openDescriptors(shell, bindings)
    const settings = { program, asRoot, overrideFilePermissions: foreign, environment }
    return { argv: [...opened, ...sandboxCommand(settings, bindings)], created }
  }

  #findUsable(needsRoot: boolean): Promise<UsableSandbox | undefined> {
    const known = this.#usable.get(needsRoot)
    if (known !== undefined) return known
    const found = this.#probe(needsRoot).then((usable) => {
      if (usable === undefined && this.#init.mode === 'auto') {
        this.#init.logger.info('bubblewrap is not usable: tools run without a sandbox')
      }
      return usable
    })
    this.#usable.set(needsRoot, found)
    return found
  }

  async #probe(needsRoot: boolean): Promise<UsableSandbox | undefined> {
    const { rootHelper, searchPath, works } = this.#init
    const [program, nothing] = await Promise.all([
      findExecutable('bwrap', searchPath),
      findExecutable('true', searchPath),
    ])
    if (program === undefined || nothing === undefined) return undefined
    const asRoot = needsRoot || process.getuid?.() === 0
    const settings = { program, asRoot, overrideFilePermissions: asRoot, environment: {} }
    const starts = async (bindings: readonly Binding[]): Promise<boolean> => {
      const argv = [...(needsRoot ? rootHelper : []), ...sandboxCommand(settings, bindings), nothing]
      const [first, ...rest] = argv
      return first !== undefined && (await works([first, ...rest]))
    }
    // Older versions bind names only. Standard input is there, and its name inside means nothing.
    if (await starts([{ path: '/proc/1/fd/0', mode: 'read', descriptor: 0 }])) {
      return { program, shell: await findExecutable('sh', searchPath) }
    }
    return (await starts([])) ? { program, shell: undefined } : undefined
  }
}

const systemProgram = /^\/(?:usr|bin|sbin)\//

/** A program from outside the system's directories is shown too, with the libraries of its own installation. */
async function programBindings(file: string): Promise<Binding[]> {
  if (systemProgram.test(file)) return []
  const folder = path.dirname(file)
  const libraries =
    path.basename(folder) === 'bin'
      ? ['lib', 'lib64'].map((name) => path.join(path.dirname(folder), name))
      : []
  const present = await Promise.all(libraries.map((name) => stat(name).then(Boolean, () => false)))
  return [file, ...libraries.filter((_, index) => present[index])].map((name) => ({
    path: name,
    mode: 'read',
  }))
}
