import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ImageTooBigError, MiB, ProcessExecutionError } from '@disk-image/core'
import { createProcessRunner, spaceError } from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'

for (const tool of ['bwrap', 'qemu-img']) requireTool(tool)
const sandboxed = createProcessRunner({ sandbox: 'require' })

let folder: string
beforeEach(async () => {
  folder = await mkdtemp('/var/tmp/qemu-')
})
afterEach(() => rm(folder, { recursive: true }))

/** A text that names another file as the disk's content, for a tool that is left to find out what it is. */
async function writeDescriptor(file: string, content: string): Promise<void> {
  const lines = ['# Disk DescriptorFile', 'version=1', 'CID=1', 'parentCID=ffffffff']
  const rest = ['createType="monolithicFlat"', `RW 1 FLAT "${content}" 0`, '']
  await writeFile(file, [...lines, ...rest].join('\n'))
}

test('a tool that guesses reaches nothing but what it was shown', async () => {
  const secret = path.join(folder, 'secret')
  const volume = path.join(folder, 'volume')
  const result = path.join(folder, 'result')
  await writeFile(secret, Buffer.alloc(512, 'S'))
  await writeDescriptor(volume, secret)
  const command = { file: 'qemu-img', args: ['convert', '-O', 'raw', volume, result] }
  const files = { read: [volume], write: [result] }
  // Without a sandbox this command does follow the name: only then the rest shows anything.
  await createProcessRunner().run(command, { files })
  expect(await readFile(result, 'latin1')).toContain('SSSS')
  await rm(result)
  await expect(sandboxed.run(command, { files })).rejects.toThrow(/No such file or directory/)
  await expect(stat(result)).rejects.toThrow('ENOENT')
  await writeDescriptor(volume, '/etc/passwd')
  await expect(sandboxed.run(command, { files })).rejects.toThrow(ProcessExecutionError)
})

test.each([
  ['plain', {}],
  ['sandboxed', { sandbox: 'require' as const }],
])('an abort in the middle of a conversion, %s, leaves no process', async (_, options) => {
  const source = path.join(folder, 'source')
  const target = path.join(folder, 'target')
  execFileSync('truncate', ['-s', '2G', source])
  const controller = new AbortController()
  // Slow enough to be in the middle of it.
  const args = ['convert', '-p', '-f', 'raw', '-O', 'raw', '-S', '0', '-r', String(64 * MiB), source, target]
  let aborted = 0
  const running = createProcessRunner(options).run(
    { file: 'qemu-img', args },
    {
      signal: controller.signal,
      files: { read: [source], write: [target] },
      onLine: (line) => {
        if (!line.includes('%') || line.includes('(0.00')) return
        if (aborted === 0) aborted = performance.now()
        controller.abort('enough')
      },
    },
  )
  await expect(running).rejects.toBe('enough')
  expect(performance.now() - aborted).toBeLessThan(1000)
  await sleep(20)
  const processes = execFileSync('ps', ['-eo', 'stat=,args='], { encoding: 'utf8' }).split('\n')
  expect(processes.filter((line) => line.includes(target) && !line.startsWith('Z'))).toEqual([])
})

test('a full file system under a conversion is named', async () => {
  const small = path.join(folder, 'small')
  await mkdir(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small])
  try {
    const source = path.join(folder, 'source')
    const target = path.join(small, 'target')
    await writeFile(source, Buffer.alloc(16 * MiB, 'x'))
    const args = ['convert', '-f', 'raw', '-O', 'raw', source, target]
    const failure: unknown = await sandboxed
      .run({ file: 'qemu-img', args }, { files: { read: [source], write: [target] } })
      .catch((error: unknown) => error)
    const error = await spaceError(failure, { path: target, neededBytes: 16 * MiB })
    expect(error).toBeInstanceOf(ImageTooBigError)
    expect(error?.message).toContain(small)
    await expect(stat(target)).rejects.toThrow('ENOENT')
  } finally {
    execFileSync('umount', [small])
  }
})

test.each([{}, { sandbox: 'require' as const }])(
  'a conversion with limits that do, and one with too little: %j',
  async (options) => {
    const source = path.join(folder, 'source')
    const target = path.join(folder, 'target')
    await writeFile(source, Buffer.alloc(64 * MiB, 'x'))
    const command = {
      file: 'qemu-img',
      args: ['convert', '-m', '16', '-W', '-f', 'raw', '-O', 'raw', source, target],
    }
    const files = { read: [source], write: [target] }
    const runner = createProcessRunner(options)
    await runner.run(command, { files, limits: { cpuSeconds: 60, addressSpaceBytes: 1024 * MiB } })
    const tight = runner.run(command, { files, limits: { cpuSeconds: 60, addressSpaceBytes: 32 * MiB } })
    await expect(tight).rejects.toMatchObject({ endReason: 'memory-limit' })
  },
)
