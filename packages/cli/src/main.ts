import { addAbortSignal } from 'node:stream'
import { keepCompiledCode } from './compile-cache.ts'
import { exitCodes } from './exit-code.ts'

// Before anything is loaded that is worth keeping.
keepCompiledCode(process.env)
const { run } = await import('./run.ts')

const controller = new AbortController()

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

const exitCode = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  // Ctrl-C ends the wait for a list that somebody still writes.
  stdin: () => addAbortSignal(controller.signal, process.stdin),
  environment: process.env,
  workingDirectory: process.cwd(),
  signal: controller.signal,
})

// What was written must be out before the end; what else is open (idle connections, workers) need not be waited for.
await Promise.all(
  [process.stdout, process.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        stream.write('', () => resolve())
      }),
  ),
)
process.exit(exitCode)
