import { spawn } from 'node:child_process'
import path from 'node:path'

/** The workspace's own: sources as they are need Node.js 24; an older one runs what is built. */
const node = path.resolve(import.meta.dirname, '../../node_modules/.bin/node')

/** How a program ended, and what it wrote. */
export interface ExampleResult {
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number | null
}

/** Runs an example's program as its README does, on the packages' sources. */
export function runExample(
  name: string,
  args: readonly string[],
  options: { readonly input?: string; readonly environment?: NodeJS.ProcessEnv } = {},
): Promise<ExampleResult> {
  const program = path.join(import.meta.dirname, name, 'main.ts')
  return new Promise((resolve, reject) => {
    const child = spawn(node, ['--conditions=@disk-image/source', program, ...args], {
      env: { ...process.env, ...options.environment },
      timeout: 100_000,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({ stdout, stderr, exitCode }))
    child.stdin.end(options.input ?? '')
  })
}
