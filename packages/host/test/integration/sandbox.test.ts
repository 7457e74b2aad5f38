import { mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { NotSupportedOperationError, ProcessExecutionError } from '@disk-image/core'
import type { RunOptions } from '@disk-image/core'
import { createProcessRunner, holdFile } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { attachLoopDevice } from './loop-device.ts'

requireTool('bwrap')
const runner = createProcessRunner({ sandbox: 'require' })
const shell = (script: string, options: RunOptions, ...args: string[]) =>
  runner.run({ file: 'sh', args: ['-c', script, ...args] }, options)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp('/var/tmp/sandbox-')
})
afterEach(() => rm(folder, { recursive: true }))

describe('inside', () => {
  test('only what is declared can be seen', async () => {
    const source = path.join(folder, 'source, with: odd "name"')
    await writeFile(source, 'content')
    await writeFile(path.join(folder, 'neighbour'), 'secret')
    const script = 'cat "$0"; ls "$1"; ls /etc /home /root /var /proc /opt 2>/dev/null; true'
    const { stdout } = await shell(script, { files: { read: [source] } }, source, folder)
    expect(stdout).toContain('content')
    expect(stdout).not.toContain('neighbour')
    expect(stdout).not.toContain('passwd')
  })

  test('what is declared for reading can not be written', async () => {
    const source = path.join(folder, 'source')
    await writeFile(source, 'content')
    const failure = shell('echo x > "$0"', { files: { read: [source] } }, source)
    await expect(failure).rejects.toThrow(ProcessExecutionError)
    expect(await readFile(source, 'utf8')).toBe('content')
  })

  test('a file that is held is the one that is seen, whatever took its name', async () => {
    for (const name of ['source', 'target']) await writeFile(path.join(folder, name), 'held')
    await using source = await holdFile(path.join(folder, 'source'))
    await using target = await holdFile(path.join(folder, 'target'))
    for (const name of ['source', 'target']) {
      await rename(path.join(folder, name), path.join(folder, `${name} moved`))
      await writeFile(path.join(folder, name), 'another')
    }
    const files = { read: [source.path], write: [target.path] }
    const { stdout } = await shell('cat "$0"; echo new > "$1"', { files }, source.path, target.path)
    expect(stdout).toBe('held')
    expect(await readFile(path.join(folder, 'target moved'), 'utf8')).toBe('new\n')
    expect(await readFile(path.join(folder, 'target'), 'utf8')).toBe('another')
    await expect(shell('echo x > "$0"', { files }, source.path)).rejects.toThrow(ProcessExecutionError)
  })

  test('what is declared for writing is written, made when it is missing', async () => {
    const target = path.join(folder, 'target')
    await shell('echo x > "$0"', { files: { write: [target] } }, target)
    expect(await readFile(target, 'utf8')).toBe('x\n')
  })

  test('a file that was only made to be bound is gone after a failure', async () => {
    const target = path.join(folder, 'target')
    const failure = shell('echo half > "$0"; exit 1', { files: { write: [target] } }, target)
    await expect(failure).rejects.toThrow(ProcessExecutionError)
    await expect(stat(target)).rejects.toThrow('ENOENT')
  })

  test('a directory for writing, and a link in it that leads out', async () => {
    const inside = path.join(folder, 'inside')
    await mkdir(inside)
    await writeFile(path.join(folder, 'secret'), 'secret')
    await symlink(path.join(folder, 'secret'), path.join(inside, 'link'))
    const { stdout } = await shell(
      'echo x > "$0/new"; cat "$0/link" 2>&1 || true',
      { files: { writeDirectories: [inside] } },
      inside,
    )
    expect(await readFile(path.join(inside, 'new'), 'utf8')).toBe('x\n')
    expect(stdout).toContain('No such file')
  })

  test('no network, no other process, no capability, an empty home', async () => {
    const server = createServer((socket) => socket.end('reached'))
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    const { port } = server.address() as AddressInfo
    const script = `exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3`
    const failure = runner.run({ file: 'bash', args: ['-c', script] }, { files: {} })
    await expect(failure).rejects.toThrow(ProcessExecutionError)
    server.close()
    const { stdout } = await shell(
      'kill -0 $1 2>/dev/null && echo seen; echo $$; env',
      { files: {} },
      '',
      `${process.pid}`,
    )
    expect(stdout).not.toContain('seen')
    expect(Number(stdout.split('\n')[0])).toBeLessThan(10)
    expect(stdout).toContain('LC_ALL=C')
    expect(stdout).not.toContain('HOME')
    const capabilities = runner.run({ file: 'chown', args: ['1', '/tmp'] }, { files: {} })
    await expect(capabilities).rejects.toThrow(ProcessExecutionError)
  })

  test('a file that grows beyond the limit ends the command', async () => {
    const target = path.join(folder, 'target')
    await writeFile(target, '')
    const options = { files: { write: [target] }, limits: { fileSizeBytes: 65_536 } }
    const failure = shell('head -c 10000000 /dev/zero > "$0"', options, target)
    await expect(failure).rejects.toMatchObject({ endReason: 'file-size-limit' })
    expect((await stat(target)).size).toBeLessThanOrEqual(65_536)
  })

  test('limits, timeouts and signals keep their names', async () => {
    const endOf = (script: string, options: RunOptions): Promise<unknown> =>
      shell(script, { files: {}, ...options }).then(
        () => 'success',
        (error: ProcessExecutionError) => error.endReason,
      )
    expect(await endOf('while :; do :; done', { limits: { cpuSeconds: 1 } })).toBe('cpu-limit')
    expect(await endOf('kill -ABRT $$', { limits: { addressSpaceBytes: 2 ** 30 } })).toBe('memory-limit')
    expect(await endOf('kill -SEGV $$', {})).toBe('signal')
    expect(await endOf('sleep 30', { timeoutMs: 100 })).toBe('timeout')
    expect(await endOf('exit 7', {})).toBe('exit')
  })

  test('a block device is read and written, and no other one is there', async () => {
    await using device = await attachLoopDevice(path.join(folder, 'backing'), 2 ** 20)
    const script = 'printf hello | dd of="$0" conv=notrunc 2>/dev/null; head -c 5 "$0"; ls /dev'
    const { stdout } = await shell(script, { files: { write: [device.path] } }, device.path)
    expect(stdout.startsWith('hello')).toBe(true)
    expect(stdout.match(/^(?:hello)?(?:loop|vd|sd|nvme|dm-)\S*/gm)).toEqual([path.basename(device.path)])
  })
})

test('a missing node under /dev is never made', async () => {
  const files = { write: ['/dev/no-such-volume-2'] }
  await expect(shell('true', { files })).rejects.toThrow('/dev/no-such-volume-2')
  await expect(stat('/dev/no-such-volume-2')).rejects.toThrow('ENOENT')
})

test('a call that declares nothing is not sandboxed', async () => {
  const { stdout } = await shell('ls /etc', {})
  expect(stdout).toContain('passwd')
})

test('without bubblewrap, auto goes on and says so, require refuses with advice', async () => {
  const told: string[] = []
  const ignore = (): void => undefined
  const logger = { debug: ignore, info: (line: string) => told.push(line), warn: ignore, error: ignore }
  // The search path has what the command needs, but no bwrap.
  await mkdir(path.join(folder, 'bin'))
  for (const tool of ['sh', 'ls', 'true']) await symlink(requireTool(tool), path.join(folder, 'bin', tool))
  const environment = { PATH: path.join(folder, 'bin') }
  const command = { file: 'sh', args: ['-c', 'ls /etc'] }
  const auto = createProcessRunner({ sandbox: 'auto', environment, logger })
  expect((await auto.run(command, { files: {} })).stdout).toContain('passwd')
  await auto.run(command, { files: {} })
  expect(told.filter((line) => line.includes('bubblewrap'))).toHaveLength(1)
  const required = createProcessRunner({ sandbox: 'require', environment })
  await expect(required.run(command, { files: {} })).rejects.toThrow(NotSupportedOperationError)
  await expect(required.run(command, { files: {} })).rejects.toThrow(/apt-get install bubblewrap/)
})

test('a program outside the system folders works in the sandbox', async () => {
  await mkdir(path.join(folder, 'bin'))
  await writeFile(path.join(folder, 'bin', 'my-tool'), '#!/bin/sh\necho mine; ls "$(dirname "$0")"\n', {
    mode: 0o755,
  })
  await writeFile(path.join(folder, 'bin', 'other'), '')
  const environment = { PATH: `${path.join(folder, 'bin')}:/usr/bin:/bin` }
  const own = createProcessRunner({ sandbox: 'require', environment })
  const { stdout } = await own.run({ file: 'my-tool', args: [] }, { files: {} })
  expect(stdout).toBe('mine\nmy-tool\n')
})
