import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { InvalidError, ProcessExecutionError } from '@disk-image/core'
import type { RunOptions } from '@disk-image/core'
import { expect, test } from 'vitest'
import { createProcessRunner } from './create-process-runner.ts'

const runner = createProcessRunner()
const node = (script: string, options: RunOptions = {}, ...args: string[]) =>
  runner.run({ file: process.execPath, args: ['-e', script, ...args] }, options)

async function failure(promise: Promise<unknown>): Promise<ProcessExecutionError> {
  const error: unknown = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ProcessExecutionError)
  return error as ProcessExecutionError
}

function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch {
    return false
  }
}

test('output, lines and input', async () => {
  const lines: string[] = []
  const script =
    'process.stdin.on("data", (d) => { process.stdout.write("a\\rb\\n" + d); console.error("to stderr") })'
  const result = await node(script, { input: 'from the caller', onLine: (line) => lines.push(line) })
  expect(result.stdout).toBe('a\rb\nfrom the caller')
  expect(result.stderr).toBe('to stderr\n')
  expect(result.durationMs).toBeGreaterThan(0)
  expect(lines).toEqual(['a', 'b', 'from the caller'])
})

test('input that comes piece by piece is taken as the command takes it', async () => {
  let asked = 0
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (; asked < 64; asked += 1) yield Buffer.alloc(64 * 1024, asked)
  }
  const whole = await node(
    'let n = 0; process.stdin.on("data", (c) => { n += c.length }).on("end", () => console.log(n))',
    {
      input: pieces(),
    },
  )
  expect(whole.stdout).toBe(`${4 * 1024 * 1024}\n`)
  asked = 0
  await node('process.exit(0)', { input: pieces() })
  expect(asked).toBeLessThan(64)
})

test('output is taken as it comes, and held back while its taker is busy', async () => {
  let bytes = 0
  let busy = 0
  const many = 'for (let n = 0; n < 64; n += 1) require("node:fs").writeSync(1, Buffer.alloc(65536, n))'
  const result = await node(many, {
    maxOutputBytes: 10,
    onOutput: async (part) => {
      expect(busy).toBe(0)
      busy += 1
      bytes += part.length
      await sleep(1)
      busy -= 1
    },
  })
  expect(bytes).toBe(4 * 1024 * 1024)
  expect(result.stdout).toBe('')
})

test('what the taker of output throws ends the command', async () => {
  const endless = 'for (;;) require("node:fs").writeSync(1, Buffer.alloc(65536))'
  const taken: number[] = []
  const full = new Error('enough')
  const run = node(endless, {
    onOutput: (part) => {
      taken.push(part.length)
      if (taken.length === 3) throw full
    },
  })
  await expect(run).rejects.toBe(full)
  expect(taken).toHaveLength(3)
})

test('output is taken whole from a command that fails, and not after an abort', async () => {
  let text = ''
  const failing = node('process.stdout.write("a".repeat(300000)); process.exitCode = 3', {
    onOutput: (part) => void (text += Buffer.from(part).toString()),
  })
  expect(await failure(failing)).toMatchObject({ exitCode: 3 })
  expect(text).toHaveLength(300_000)
  const abort = new AbortController()
  const never = node('for (;;) require("node:fs").writeSync(1, Buffer.alloc(65536))', {
    signal: abort.signal,
    onOutput: () => abort.abort(new Error('gone')),
  })
  await expect(never).rejects.toThrow('gone')
})

test('standard input is empty otherwise', async () => {
  const { stdout } = await node('process.stdin.on("data", () => {}).on("end", () => console.log("ended"))')
  expect(stdout).toBe('ended\n')
})

test('words arrive as they are: no shell sees them', async () => {
  const words = ['$(id)', '`id`', '; id', "it's", '*', '', 'a b', '\\n', '-x']
  const { stdout } = await node('console.log(JSON.stringify(process.argv.slice(1)))', {}, '--', ...words)
  expect(JSON.parse(stdout)).toEqual(words)
})

test('the environment is small, and a call can add to it', async () => {
  const { stdout } = await node('console.log(JSON.stringify(process.env))', { environment: { EXTRA: '1' } })
  const { PATH, ...rest } = JSON.parse(stdout) as Record<string, string>
  expect(PATH).toContain('/usr/sbin')
  expect(rest).toEqual({ LC_ALL: 'C', EXTRA: '1' })
})

test('an exit code is an error with everything that was printed', async () => {
  const error = await failure(node('console.log("out"); console.error("err"); process.exit(3)'))
  expect(error).toMatchObject({ endReason: 'exit', exitCode: 3, stdout: 'out\n', stderr: 'err\n' })
  expect(error.message).toContain('err')
  expect(error.shortMessage).not.toContain('err\n')
})

test('a signal is named', async () => {
  const error = await failure(node('process.kill(process.pid, "SIGSEGV")'))
  expect(error).toMatchObject({ endReason: 'signal', signalName: 'SIGSEGV', exitCode: undefined })
})

test('a program that is missing comes with the way to get it', async () => {
  const without = createProcessRunner({ environment: { PATH: '/nowhere' } })
  const error = await failure(without.run({ file: 'qemu-img', args: ['info'] }))
  expect(error.endReason).toBe('not-installed')
  expect(error.message).toContain('apt-get install qemu-utils')
  const other = await failure(runner.run({ file: 'no-such-program-1', args: [] }))
  expect(other.endReason).toBe('not-installed')
})

test('a missing prefix is named', async () => {
  const error = await failure(node('', { prefix: ['no-such-prefix-1', '-x'] }))
  expect(error.endReason).toBe('not-installed')
  expect(error.message).toContain('no-such-prefix-1')
})

test('more output than the limit ends the command', async () => {
  const script = 'setInterval(() => process.stdout.write("x".repeat(65536)), 1)'
  const error = await failure(node(script, { maxOutputBytes: 100_000 }))
  expect(error.endReason).toBe('output-limit')
  expect(error.stdout).toHaveLength(100_000)
})

test('the wall-clock limit ends the command', async () => {
  const error = await failure(node('setInterval(() => {}, 1000)', { timeoutMs: 200 }))
  expect(error.endReason).toBe('timeout')
  expect(error.durationMs).toBeLessThan(1200)
})

test('what a line listener throws ends the command and comes out as it is', async () => {
  const thrown = new Error('enough')
  const script = 'setInterval(() => console.log("line"), 5)'
  const run = node(script, {
    onLine: () => {
      throw thrown
    },
  })
  await expect(run).rejects.toBe(thrown)
})

test.each([
  ['that ends when asked', ''],
  ['that does not want to end', 'process.on("SIGTERM", () => {}); '],
])('an abort rejects with its reason within a second, and a whole family %s is gone', async (_, stubborn) => {
  const controller = new AbortController()
  const child = `${stubborn} console.log(process.pid); setInterval(() => {}, 1000)`
  const parent = `${stubborn} console.log(process.pid); require("node:child_process").spawn(process.execPath, ["-e", process.argv[1]], { stdio: "inherit" }); setInterval(() => {}, 1000)`
  const processIds: number[] = []
  const reason = new Error('the user changed their mind')
  const started = { at: 0 }
  const run = node(
    parent,
    {
      signal: controller.signal,
      onLine: (line) => {
        processIds.push(Number(line))
        if (processIds.length < 2) return
        started.at = performance.now()
        controller.abort(reason)
      },
    },
    child,
  )
  await expect(run).rejects.toBe(reason)
  expect(performance.now() - started.at).toBeLessThan(1000)
  expect(processIds).toHaveLength(2)
  // The first process of a container may leave a dead orphan in the table for a moment.
  for (let tries = 0; tries < 20 && processIds.some(isRunning); tries += 1) await sleep(10)
  const states = await Promise.all(processIds.map(stateOf))
  expect(states.every((state) => state === undefined || state === 'Z')).toBe(true)
})

async function stateOf(processId: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${processId}/stat`, 'latin1').catch(() => undefined)
  return text?.slice(text.lastIndexOf(')') + 2)[0]
}

test('an aborted signal starts nothing', async () => {
  const signal = AbortSignal.abort('no')
  await expect(node('', { signal })).rejects.toBe('no')
})

test('every command is told to the logger, without secrets', async () => {
  const told: unknown[] = []
  const ignore = (): void => undefined
  const logger = {
    debug: (_: string, fields?: unknown) => told.push(fields),
    info: ignore,
    warn: ignore,
    error: ignore,
  }
  const logged = createProcessRunner({ logger })
  const args = ['-e', 'console.error("https://a:b@c/"); process.exit(1)', '--', 'secret,id=a,data=hunter2']
  const error = await failure(logged.run({ file: process.execPath, args }))
  expect(JSON.stringify(told)).toContain('secret,id=a,data=***')
  for (const text of [JSON.stringify(told), error.message, error.stderr, ...error.command]) {
    expect(text).not.toMatch(/hunter2|a:b@/)
  }
})

test('bad options are refused', () => {
  expect(() => createProcessRunner({ sandbox: 'maybe' as 'auto' })).toThrow(InvalidError)
  expect(() => createProcessRunner({ rootHelper: ['sudo', ''] })).toThrow(InvalidError)
})

test('a NUL in a word is refused', async () => {
  await expect(runner.run({ file: process.execPath, args: ['a\0b'] })).rejects.toThrow(InvalidError)
})
