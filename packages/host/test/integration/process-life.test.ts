import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ProcessExecutionError } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'
import { killWhileStarting } from '../helpers/kill-while-starting.ts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

for (const tool of ['bwrap', 'qemu-img', 'sudo']) requireTool(tool)
for (const tool of ['prlimit', 'setpriv']) requireTool(tool, 'util-linux')

const host = fileURLToPath(new URL('../../src/index.ts', import.meta.url))
const nodeArguments = ['--conditions=@disk-image/source', '--input-type=module', '-e']

let folder: string
beforeEach(async () => {
  folder = await mkdtemp('/var/tmp/life-')
})
afterEach(() => rm(folder, { recursive: true }))

/** Whether some process still has this word on its command line, dead ones not counted. */
async function isThere(word: string): Promise<boolean> {
  const { stdout } = await execa('ps', ['-eo', 'stat=,args='])
  return stdout
    .split('\n')
    .some((line) => !line.startsWith('Z') && line.includes('sleep') && line.includes(word))
}

async function until(condition: () => Promise<boolean>, withinMs: number): Promise<boolean> {
  const end = performance.now() + withinMs
  while (performance.now() < end) {
    if (await condition()) return true
    await sleep(20)
  }
  return condition()
}

const script = `
  const { createProcessRunner } = await import(process.argv[1])
  const options = JSON.parse(process.argv[2])
  const runner = createProcessRunner(options.runner)
  const running = runner.run({ file: 'sleep', args: [options.duration] }, options.call).catch(() => {})
  if (options.exit) setTimeout(() => process.exit(0), 1500)
  await running
`

let counter = 0
/** Durations that no other process uses, to tell ours by. */
function unusedDuration(): string {
  counter += 1
  return `${300 + counter}.${process.pid}`
}

describe.each([
  ['plain', { runner: {}, call: {} }],
  ['with limits', { runner: {}, call: { limits: { cpuSeconds: 5, addressSpaceBytes: 2 ** 30 } } }],
  ['sandboxed', { runner: { sandbox: 'require' }, call: { files: {} } }],
  ['below a root helper', { runner: { rootHelper: ['sudo', '-n'] }, call: { asRoot: true } }],
  [
    'below a root helper, with limits and a prefix',
    {
      runner: { rootHelper: ['sudo', '-n'] },
      call: {
        asRoot: true,
        prefix: ['ionice', '-c3'],
        limits: { cpuSeconds: 5, addressSpaceBytes: 2 ** 30 },
      },
    },
  ],
  [
    'sandboxed below a root helper',
    { runner: { rootHelper: ['sudo', '-n'], sandbox: 'require' }, call: { asRoot: true, files: {} } },
  ],
])('a child that is %s', (_, how) => {
  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
    'does not outlive a caller that gets %s',
    async (signal) => {
      const duration = unusedDuration()
      const options = JSON.stringify({ ...how, duration })
      const caller = execa(process.execPath, [...nodeArguments, script, host, options], { reject: false })
      expect(await until(() => isThere(duration), 10_000)).toBe(true)
      caller.kill(signal)
      await caller
      expect(await until(async () => !(await isThere(duration)), 1000)).toBe(true)
    },
  )

  test('does not outlive a caller that exits', async () => {
    const duration = unusedDuration()
    const options = JSON.stringify({ ...how, duration, exit: true })
    const caller = execa(process.execPath, [...nodeArguments, script, host, options])
    expect(await until(() => isThere(duration), 10_000)).toBe(true)
    await caller
    expect(await until(async () => !(await isThere(duration)), 1000)).toBe(true)
  })

  test('is gone when an abort comes back, within a second', async () => {
    const duration = unusedDuration()
    const runner = createProcessRunner(how.runner as { sandbox?: 'require'; rootHelper?: string[] })
    const controller = new AbortController()
    const running = runner.run(
      { file: 'sleep', args: [duration] },
      { ...how.call, signal: controller.signal },
    )
    const settled = running.then(
      () => 'success',
      (reason: unknown) => reason,
    )
    expect(await until(() => isThere(duration), 3000)).toBe(true)
    const start = performance.now()
    controller.abort('enough')
    expect(await settled).toBe('enough')
    expect(performance.now() - start).toBeLessThan(1000)
    expect(await isThere(duration)).toBe(false)
  })
})

// bubblewrap ties its inner process to itself only some milliseconds after its start: whoever kills the outer one before
// leaves one that waits for ever, or runs its command to the end.
test.each([
  ['sandboxed', { runner: { sandbox: 'require' }, call: { files: {} } }],
  [
    'sandboxed below a root helper',
    { runner: { rootHelper: ['sudo', '-n'], sandbox: 'require' }, call: { asRoot: true, files: {} } },
  ],
])('none of many that are %s outlives a caller that is killed while they start', async (_, how) => {
  const many = `
    const { createProcessRunner } = await import(process.argv[1])
    const options = JSON.parse(process.argv[2])
    const runner = createProcessRunner(options.runner)
    const start = () => runner.run({ file: 'sleep', args: [options.duration] }, options.call).catch(() => {})
    await runner.run({ file: 'true', args: [] }, options.call)
    process.stdout.write('ready')
    await Promise.all(Array.from({ length: 60 }, start))
  `
  for (let round = 0; round < 12; round += 1) {
    const duration = unusedDuration()
    const options = JSON.stringify({ ...how, duration })
    const caller = execa(process.execPath, [...nodeArguments, many, host, options], {
      reject: false,
      buffer: false,
    })
    await new Promise((resolve) => caller.stdout.once('data', resolve))
    await sleep(round * 10)
    caller.kill('SIGKILL')
    await caller
    expect(await until(async () => !(await isThere(duration)), 3000), `after ${round * 10} ms`).toBe(true)
  }
})

test.each(['cancel', 'SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'none of many in a sandbox outlives its first 20 ms, ended by %s',
  async (how) => {
    for (let round = 0; round < 2; round += 1) {
      expect(await killWhileStarting({ how, commands: 20, random: Math.random })).toEqual([])
    }
  },
)

describe('limits', () => {
  const runner = createProcessRunner()
  const endOf = (file: string, args: string[], limits: object): Promise<unknown> =>
    runner.run({ file, args }, { limits }).then(
      () => 'success',
      (error: ProcessExecutionError) => error.endReason,
    )

  test('CPU time', async () => {
    expect(await endOf('sh', ['-c', 'while :; do :; done'], { cpuSeconds: 1 })).toBe('cpu-limit')
  })

  test('address space', async () => {
    expect(await endOf('qemu-img', ['--version'], { addressSpaceBytes: 2 ** 31 })).toBe('success')
    expect(await endOf('qemu-img', ['--version'], { addressSpaceBytes: 12 * 2 ** 20 })).toBe('memory-limit')
  })

  test('one allocation arena under an address space limit only', async () => {
    const seen = async (limits: object): Promise<string> => {
      const { stdout } = await runner.run({ file: 'env', args: [] }, { limits })
      return /MALLOC_ARENA_MAX=.*/.exec(stdout)?.[0] ?? 'none'
    }
    expect(await seen({ addressSpaceBytes: 2 ** 31 })).toBe('MALLOC_ARENA_MAX=1')
    expect(await seen({ cpuSeconds: 9 })).toBe('none')
  })
})

describe('a root helper', () => {
  const rootHelper = ['sudo', '-n']

  test('only commands that run as root go through it, with their environment and limits', async () => {
    const told: string[][] = []
    const ignore = (): void => undefined
    const debug = (_: string, fields?: Readonly<Record<string, unknown>>): void => {
      told.push(fields?.['command'] as string[])
    }
    const runner = createProcessRunner({
      rootHelper,
      logger: { debug, info: ignore, warn: ignore, error: ignore },
    })
    const limits = { addressSpaceBytes: 2 ** 31 }
    const { stdout } = await runner.run(
      { file: 'sh', args: ['-c', 'id -u; env; ulimit -v'] },
      { asRoot: true, limits },
    )
    expect(stdout).toMatch(/^0\n/)
    expect(stdout).toContain('SUDO_COMMAND')
    expect(stdout).toContain('LC_ALL=C\n')
    expect(stdout).toContain('MALLOC_ARENA_MAX=1\n')
    expect(stdout).toContain(`${2 ** 31 / 1024}\n`)
    expect((await runner.run({ file: 'env', args: [] })).stdout).not.toContain('SUDO_COMMAND')
    expect(told[0]?.slice(0, 3)).toEqual(['sudo', '-n', 'sh'])
    expect(told[1]).toEqual(['env'])
  })

  test('the sandbox works below it', async () => {
    const file = path.join(folder, 'source')
    await writeFile(file, 'content', { mode: 0o600 })
    await execa('chown', ['65534', file])
    const runner = createProcessRunner({ rootHelper, sandbox: 'require' })
    const args = ['-c', 'cat "$0"; ls /etc', file]
    const { stdout } = await runner.run({ file: 'sh', args }, { asRoot: true, files: { read: [file] } })
    expect(stdout).toContain('content')
    expect(stdout).not.toContain('passwd')
  })

  test('one that is missing is named', async () => {
    const runner = createProcessRunner({ rootHelper: ['no-such-helper'] })
    const failure = runner.run({ file: 'id', args: [] }, { asRoot: true })
    await expect(failure).rejects.toThrow(/no-such-helper/)
  })

  test('an abort ends what it started', async () => {
    const duration = unusedDuration()
    const runner = createProcessRunner({ rootHelper })
    const controller = new AbortController()
    const running = runner.run(
      { file: 'sleep', args: [duration] },
      { asRoot: true, signal: controller.signal },
    )
    const settled = running.catch((reason: unknown) => reason)
    expect(await until(() => isThere(duration), 3000)).toBe(true)
    controller.abort('enough')
    expect(await settled).toBe('enough')
    expect(await until(async () => !(await isThere(duration)), 1000)).toBe(true)
  })
})

test('only where root alone can make a file its folder is shown', async () => {
  const script = `
    const { prepareFiles } = await import(process.argv[1])
    const { bindings } = await prepareFiles({ write: [process.argv[2]] }, 0)
    console.log(JSON.stringify(bindings))
  `
  await execa('chmod', ['755', folder])
  const sandbox = fileURLToPath(new URL('../../src/process/sandbox.ts', import.meta.url))
  const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath]
  const file = path.join(folder, 'new')
  const { stdout } = await execa('setpriv', [...user, ...nodeArguments, script, sandbox, file])
  expect(JSON.parse(stdout)).toEqual([{ path: folder, mode: 'write' }])
})

test('an ordinary user has the sandbox and the limits too', async () => {
  const file = path.join(folder, 'source')
  await writeFile(file, 'content', { mode: 0o600 })
  await execa('chown', ['-R', '65534:65534', folder])
  const asUser = `
    const { createProcessRunner } = await import(process.argv[1])
    const runner = createProcessRunner({ sandbox: 'require' })
    const args = ['-c', 'id -u; cat "$0"; ls /etc; echo x > "$1"', process.argv[2], process.argv[3]]
    const files = { read: [process.argv[2]], write: [process.argv[3]] }
    const { stdout } = await runner.run({ file: 'sh', args }, { files, limits: { cpuSeconds: 5 } })
    process.stdout.write(stdout)
  `
  const target = path.join(folder, 'target')
  const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath]
  const { stdout } = await execa('setpriv', [...user, ...nodeArguments, asUser, host, file, target])
  expect(stdout).toContain('65534\ncontent')
  expect(stdout).not.toContain('passwd')
  expect(await readFile(target, 'utf8')).toBe('x\n')
})
