import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { run } from '../../src/run.ts'

/** How a run of the command ended, and what it said. */
export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Changes to the world of a run. */
export interface World {
  readonly environment?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  readonly terminal?: boolean
  readonly stdin?: AsyncIterable<Uint8Array>
  readonly onStderr?: (text: string) => void
}

/** A temporary folder in which the command is run in this process. */
export interface Workbench extends AsyncDisposable {
  readonly folder: string
  path(name: string): string
  run(argv: readonly string[], world?: World): Promise<Outcome>
  /** The same, with the one JSON object that it must print. */
  json<T = Record<string, never>>(
    argv: readonly string[],
    world?: World,
  ): Promise<T & { readonly exitCode: number }>
}

/** Makes a workbench. Its home and its conversion folder are inside of it. */
export async function openWorkbench(): Promise<Workbench> {
  const folder = await mkdtemp(path.join(tmpdir(), 'disk-image-cli-'))
  const runHere = async (argv: readonly string[], world: World = {}): Promise<Outcome> => {
    const [out, error]: [string[], string[]] = [[], []]
    const exitCode = await run([...argv, '--conversion-dir', path.join(folder, 'conversion')], {
      stdout: { write: (text) => out.push(text), isTTY: world.terminal },
      stderr: {
        write: (text) => {
          error.push(text)
          world.onStderr?.(text)
        },
        isTTY: world.terminal,
        columns: 100,
      },
      stdin: () => world.stdin ?? Readable.from([]),
      // Tests write over their own files.
      environment: { HOME: folder, DISK_IMAGE_FORCE: 'yes', ...world.environment },
      workingDirectory: folder,
      signal: world.signal ?? new AbortController().signal,
    })
    return { exitCode, stdout: out.join(''), stderr: error.join('') }
  }
  return {
    folder,
    path: (name) => path.join(folder, name),
    run: runHere,
    json: async (argv, world) => {
      const { exitCode, stdout } = await runHere([...argv, '--json'], world)
      // Throws for anything but exactly one JSON value.
      return { ...JSON.parse(stdout), exitCode }
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
