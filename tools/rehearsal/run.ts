import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** The Node.js that strangers have: the one that the tests run on. */
export const strangersNode: string = process.env['TEST_NODE'] ?? process.execPath

/** Runs a program to its end and returns what it wrote. What it said is in the error where it fails. */
export async function run(
  file: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly environment?: NodeJS.ProcessEnv; readonly timeoutMs?: number },
): Promise<string> {
  try {
    const { stdout } = await execute(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.environment },
      timeout: options.timeoutMs ?? 120_000,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024 * 1024,
    })
    return stdout
  } catch (error) {
    const {
      stdout = '',
      stderr = '',
      message,
    } = error as { stdout?: string; stderr?: string; message: string }
    const said = `${stdout}${stderr}`.trim().split('\n').slice(-40).join('\n')
    throw new Error(`${[file, ...args].join(' ')} failed in ${options.cwd}\n${said || message}`, {
      cause: error,
    })
  }
}
