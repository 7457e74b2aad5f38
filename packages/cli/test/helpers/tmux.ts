import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'

const run = promisify(execFile)

/** A real terminal, in which something runs. */
export interface Terminal extends AsyncDisposable {
  /** What it shows, line by line. */
  shown(): Promise<string>
  /** Keys by tmux's names: `C-c`, `Tab`, `Enter`, or text. */
  type(...keys: readonly string[]): Promise<void>
  resize(columns: number): Promise<void>
}

/** @param words a command and its arguments */
export async function openTerminal(
  words: readonly string[],
  options: {
    readonly folder: string
    readonly columns: number
    readonly environment?: Record<string, string>
  },
): Promise<Terminal> {
  const server = `disk-image-${randomUUID()}`
  const tmux = async (...argv: string[]): Promise<string> =>
    (await run(requireTool('tmux'), ['-L', server, '-f', '/dev/null', ...argv], { cwd: options.folder, env }))
      .stdout
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: options.folder,
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
    SHELL: '/bin/sh',
    NODE_DISABLE_COMPILE_CACHE: '1',
    ...options.environment,
  }
  const command = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  // What it showed is still there when it has ended.
  await tmux(
    'new-session',
    '-d',
    '-x',
    String(options.columns),
    '-y',
    '24',
    `trap : INT; ${command}; echo "ended $?"; sleep 60`,
  )
  return {
    shown: async () => (await tmux('capture-pane', '-p')).trimEnd(),
    type: async (...keys) => {
      await tmux('send-keys', ...keys)
    },
    resize: async (columns) => {
      await tmux('resize-window', '-x', String(columns))
    },
    [Symbol.asyncDispose]: async () => {
      await tmux('kill-server').catch(() => undefined)
    },
  }
}
