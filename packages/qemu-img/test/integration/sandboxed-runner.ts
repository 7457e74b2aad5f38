import { spawn } from 'node:child_process'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { ProcessExecutionError } from '@disk-image/core'
import type { Command, ProcessFileAccess, ProcessRunner, RunOptions } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'

/**
 * A runner that shows a command nothing but the files that were declared, so that a file which was forgotten
 * makes a test fail. Small on purpose: the one for real work is in host.
 */
export interface SandboxedRunner extends ProcessRunner {
  readonly calls: { readonly command: Command; readonly options: RunOptions }[]
}

function bind(option: string, name: string): string[] {
  const device = existsSync(name) && statSync(name).isBlockDevice()
  return [device ? '--dev-bind' : option, name, name]
}

function sandboxArguments({ read = [], write = [], writeDirectories = [] }: ProcessFileAccess): string[] {
  for (const name of write) if (!existsSync(name)) writeFileSync(name, '')
  return [
    '--die-with-parent',
    '--unshare-pid',
    '--unshare-net',
    ...['/usr', '/bin', '/lib', '/lib64', '/etc/ld.so.cache'].flatMap((name) => [
      '--ro-bind-try',
      name,
      name,
    ]),
    '--dev',
    '/dev',
    '--tmpfs',
    '/tmp',
    ...writeDirectories.flatMap((name) => bind('--bind', name)),
    ...read.flatMap((name) => bind('--ro-bind', name)),
    ...write.flatMap((name) => bind('--bind', name)),
    '--',
  ]
}

function limitArguments({
  cpuSeconds,
  addressSpaceBytes,
  fileSizeBytes,
}: NonNullable<RunOptions['limits']>): string[] {
  const cpu = cpuSeconds === undefined ? [] : [`--cpu=${Math.ceil(cpuSeconds)}`]
  const addressSpace = addressSpaceBytes === undefined ? [] : [`--as=${addressSpaceBytes}`]
  const fileSize = fileSizeBytes === undefined ? [] : [`--fsize=${fileSizeBytes}`]
  return [...cpu, ...addressSpace, ...fileSize, '--']
}

export function createSandboxedRunner(): SandboxedRunner {
  const bwrap = requireTool('bwrap')
  const prlimit = requireTool('prlimit', 'util-linux')
  const calls: SandboxedRunner['calls'] = []
  const run: ProcessRunner['run'] = async (command, options = {}) => {
    calls.push({ command, options })
    const file = requireTool(command.file)
    const words = [
      ...limitArguments(options.limits ?? {}),
      bwrap,
      ...sandboxArguments(options.files ?? {}),
      file,
    ]
    const child = spawn(prlimit, [...words, ...command.args], {
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', MALLOC_ARENA_MAX: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: options.signal,
      timeout: options.timeoutMs,
    })
    const output = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text
      for (const line of text.split(/[\r\n]/)) options.onLine?.(line)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text
    })
    const { promise, resolve, reject } = Promise.withResolvers<number | null>()
    child.on('error', reject).on('close', resolve)
    const exitCode = await promise
    if (exitCode === 0) return { ...output, durationMs: 1 }
    const endReason = exitCode === null ? 'timeout' : 'exit'
    throw new ProcessExecutionError({
      command: [command.file, ...command.args],
      exitCode: exitCode ?? undefined,
      endReason,
      ...output,
    })
  }
  return { run, calls }
}
