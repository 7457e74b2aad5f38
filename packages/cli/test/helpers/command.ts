import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** How a process ended, and what it said. */
export interface Ended {
  /** `null` after a signal that it did not handle. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The command as a process of its own. */
export interface StartedCommand {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

/** Where the command runs. */
export interface CommandOptions {
  readonly cwd: string
  readonly environment?: Readonly<Record<string, string>>
}

/** The command as one types it into a shell. */
export function commandLine(argv: readonly string[]): string[] {
  return [process.execPath, '--conditions=@disk-image/source', main, ...argv]
}

/** Starts the command as a shell would. */
export function startCommand(argv: readonly string[], options: CommandOptions): StartedCommand {
  const [file = '', ...rest] = commandLine(argv)
  const child = spawn(file, rest, {
    cwd: options.cwd,
    // What the command keeps of itself would stand among the files that the tests look at.
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: options.cwd,
      NODE_DISABLE_COMPILE_CACHE: '1',
      DISK_IMAGE_FORCE: 'yes',
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    let text = ''
    stream.setEncoding('utf8')
    for await (const piece of stream) text += piece
    return text
  })
  const exit = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (exitCode) => resolve(exitCode))
  })
  const ended = Promise.all([exit, ...texts]).then(([exitCode, stdout, stderr]) => ({
    exitCode,
    stdout: stdout as string,
    stderr: stderr as string,
  }))
  return { child, ended }
}

/** Runs the command to its end. */
export function runCommand(argv: readonly string[], options: CommandOptions): Promise<Ended> {
  return startCommand(argv, options).ended
}
