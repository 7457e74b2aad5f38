import path from 'node:path'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { ProcessExecutionError } from '@disk-image/core'
import type { Command, ProcessRunner } from '@disk-image/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRbdDriver } from './create-rbd-driver.ts'
import { RbdCommands } from './rbd-commands.ts'

let folder: string
let file: string
const { signal } = new AbortController()

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'fleet-rbd-'))
  file = path.join(folder, 'disk')
  await writeFile(file, '')
  await truncate(file, 4096)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A runner that notes what is run; Ceph itself has these volumes, and no others. */
function ceph(
  volumes: Record<string, number>,
  failing?: string,
): { runner: ProcessRunner; lines: string[]; volumes: Record<string, number> } {
  const lines: string[] = []
  const fail = ({ file: name, args }: Command, exitCode: number): never => {
    throw new ProcessExecutionError({ command: [name, ...args], exitCode, endReason: 'exit' })
  }
  const runner: ProcessRunner = {
    run: async (command) => {
      const { args } = command
      lines.push([command.file, ...args].join(' '))
      const value = (name: string): string => args[args.indexOf(name) + 1] ?? ''
      const named = `${value('--pool')}/${value('--image')}`
      const target = `${value('--dest-pool')}/${value('--dest')}`
      if (failing !== undefined && args.includes(failing)) fail(command, 5)
      if (args.includes('info') && volumes[named] === undefined) fail(command, 2)
      if (args.includes('import')) volumes[target] = 4096
      if (args.includes('rename')) volumes[target] = volumes[named] ?? 0
      if (args.includes('rename') || args.includes('rm')) delete volumes[named]
      return { stdout: JSON.stringify({ size: volumes[named] }), stderr: '', durationMs: 0 }
    },
  }
  return { runner, lines, volumes }
}

describe('the command lines', () => {
  const commands = new RbdCommands({ id: 'cinder', configuration: '/etc/ceph/other.conf' })
  const name = { pool: 'volumes', image: 'volume-1' }
  const words = (command: Command): string => [command.file, ...command.args].join(' ')
  const access = 'rbd --conf /etc/ceph/other.conf --id cinder'
  test.each([
    [words(commands.info(name)), `${access} info --format json --pool volumes --image volume-1`],
    [
      words(commands.import('/tmp/disk', name)),
      `${access} import --no-progress --path /tmp/disk --dest-pool volumes --dest volume-1`,
    ],
    [words(commands.remove(name)), `${access} rm --no-progress --pool volumes --image volume-1`],
    [
      words(commands.overwrite('/tmp/di,sk', name, { offset: 512, length: 1024 })),
      'qemu-img convert -n --image-opts --target-image-opts -t writeback driver=raw,offset=512,size=1024,file.driver=raw,file.file.driver=file,file.file.filename=/tmp/di,,sk driver=raw,offset=512,size=1024,file.driver=rbd,file.pool=volumes,file.image=volume-1,file.user=cinder,file.conf=/etc/ceph/other.conf',
    ],
    [
      words(new RbdCommands().read(name, '/tmp/disk')),
      'qemu-img convert -f raw -O raw rbd:volumes/volume-1 /tmp/disk',
    ],
  ])('%s', (found, wanted) => expect(found).toBe(wanted))
})

test.each([
  { id: 'a:b' },
  { id: '-x' },
  { configuration: 'ceph.conf' },
  { configuration: '/etc/ceph.conf:key=x' },
])('an access %j is refused', (access) => {
  expect(() => new RbdCommands(access)).toThrow(/Ceph/)
})

test('hostile names never reach a command line', async () => {
  const { runner, lines } = ceph({})
  const driver = createRbdDriver({ runner })
  for (const volume of [
    'rbd:p/i@s',
    'rbd:p/i:conf=/x',
    'rbd:-p/i',
    String.raw`rbd:p/i\:x`,
    'rbd:p/n/i',
    '/dev/sda',
  ]) {
    await expect(driver.write(file, volume, { signal })).rejects.toThrow('rbd:POOL/IMAGE')
    await expect(driver.read(volume, file, { signal })).rejects.toThrow('rbd:POOL/IMAGE')
  }
  expect(lines).toEqual([])
})

test('a new volume has its name only when it is whole; what was left of an earlier try is removed', async () => {
  const { runner, lines, volumes } = ceph({ 'p/i.partial': 1 })
  await createRbdDriver({ runner }).write(file, 'rbd:p/i', { signal })
  expect(volumes).toEqual({ 'p/i': 4096 })
  expect(lines.map((line) => line.split(' ')[1])).toEqual(['info', 'info', 'rm', 'import', 'rename'])
})

test('a broken import leaves nothing', async () => {
  const { runner, volumes } = ceph({}, 'rename')
  await expect(createRbdDriver({ runner }).write(file, 'rbd:p/i', { signal })).rejects.toThrow('exit code 5')
  expect(volumes).toEqual({})
})

test('a volume that is there is overwritten where it is large enough, its ends last', async () => {
  const { runner, lines } = ceph({ 'p/i': 4096, 'p/small': 512 })
  const driver = createRbdDriver({ runner })
  await driver.write(file, 'rbd:p/i', { signal })
  // Zeros first, the disk's head last.
  expect(lines.slice(1).map((line) => line.includes('null-co'))).toEqual([true, false])
  expect(lines.at(-1)).toContain(
    `offset=0,size=4096,file.driver=raw,file.file.driver=file,file.file.filename=${file}`,
  )
  await expect(driver.write(file, 'rbd:p/small', { signal })).rejects.toThrow('512 bytes')
  await driver.read('rbd:p/i', file, { signal })
  expect(lines.at(-1)).toBe(`qemu-img convert -f raw -O raw rbd:p/i ${file}`)
})
