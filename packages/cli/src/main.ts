import { addAbortSignal } from 'node:stream'
import { keepCompiledCode } from './compile-cache.ts'
import { exitCodes } from './exit-code.ts'
import type { Io, TextStream } from './io.ts'

// Before anything is loaded that is worth keeping.
keepCompiledCode(process.env)
const { run } = await import('./run.ts')

/** What else is open at the end (idle connections, workers) is waited for no longer than this. */
const mostMsOpen = 500

const controller = new AbortController()

// A file that may not become larger (ulimit -f) is an error of the write then, and not the end without cleaning up.
process.on('SIGXFSZ', () => undefined)
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // The second time somebody means it: nothing is waited for, and children die with this process.
    if (controller.signal.aborted) process.exit(exitCodes.cancelled)
    controller.abort(new DOMException(`Ended by ${name}.`, 'AbortError'))
  })
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read it has gone, as `head` does: no reason for noise.
    if (error.code !== 'EPIPE') throw error
  })
}

const io: Io & { stdout: TextStream } = {
  stdout: process.stdout,
  takeOutput: () => {
    io.stdout = process.stderr
    return (bytes) =>
      new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()))
      })
  },
  stderr: process.stderr,
  // Ctrl-C ends the wait for a list that somebody still writes.
  stdin: () => addAbortSignal(controller.signal, process.stdin),
  ask: process.stdin.isTTY && process.stderr.isTTY ? ask : undefined,
  environment: process.env,
  workingDirectory: process.cwd(),
  signal: controller.signal,
}

/** The end of the input is no answer. */
async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  // Lines as the terminal makes them: Ctrl-C stays a signal.
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false })
  try {
    const end = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
    return await Promise.race([lines.question(question, { signal: controller.signal }), end])
  } finally {
    lines.close()
  }
}

const exitCode = await run(process.argv.slice(2), io)

// What was written must be out before the end.
await Promise.all(
  [process.stdout, process.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        stream.write('', () => resolve())
      }),
  ),
)
// `process.exit()` may never come back: it waits for V8's compiler threads, of which one may wait for a garbage
// collection of this thread. An end without it lets them go first. @see https://github.com/nodejs/node/issues/54918
process.exitCode = exitCode
setTimeout(() => process.exit(), mostMsOpen).unref()
