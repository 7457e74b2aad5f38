import { spawn } from 'node:child_process'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
import { inspectFile } from '../../src/files/file-reader.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const child = fileURLToPath(new URL('kill-child.ts', import.meta.url))
for (const name of ['blkid', 'losetup', 'mke2fs', 'mkfs.vfat']) requireTool(name)

let work: Workspace
let raw: string
const hashes = new Map<string, string>()

beforeAll(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 48 * MiB)
  await tool('mke2fs', '-q', '-F', '-t', 'ext4', raw)
  const random = [
    'if=/dev/urandom',
    `of=${raw}`,
    'bs=1M',
    'seek=20',
    'count=24',
    'conv=notrunc',
    'status=none',
  ]
  await tool('dd', ...random)
  hashes.set('image', await sha256(raw))
  await tool('truncate', '-s', '60M', work.file('old'))
  await tool('mkfs.vfat', '-n', 'OLD', work.file('old'))
  hashes.set('old', await sha256(work.file('old')))
  await writeFile(work.file('key'), 'secret')
})
afterAll(() => work[Symbol.asyncDispose]())

/** @returns whether it was done before it was killed, and how long it took */
async function run(
  words: readonly string[],
  killAfterMs?: number,
): Promise<{ isDone: boolean; tookMs: number }> {
  const flags = ['--conditions=@disk-image/source', child]
  const started = spawn(process.execPath, [...flags, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  let output = ''
  const ready = new Promise<void>((resolve) => {
    started.stdout.on('data', (text: Buffer) => {
      output += text.toString()
      resolve()
    })
    started.once('exit', () => resolve())
  })
  const closed = new Promise<void>((resolve) => {
    started.once('close', () => resolve())
  })
  await ready
  const begun = performance.now()
  if (killAfterMs !== undefined) {
    await Promise.race([delay(killAfterMs), closed])
    started.kill('SIGKILL')
  }
  await closed
  return { isDone: output.includes('done'), tookMs: performance.now() - begun }
}

/** Whether what is there can be taken for something that it is not. */
async function isMistakable(file: string): Promise<boolean> {
  const found = await tool('blkid', '-p', file).catch(() => '')
  const { format } = await inspectFile(file)
  return found !== '' || !['raw', 'unknown'].includes(format ?? 'raw')
}

/** A killed process's tools end with it, a moment later. */
async function untilNoneWorksIn(folder: string): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) {
    const lines = (await readdir('/proc'))
      .filter((id) => /^\d+$/.test(id) && Number(id) !== process.pid)
      .map((id) => readFile(`/proc/${id}/cmdline`, 'latin1').catch(() => ''))
    if (!(await Promise.all(lines)).some((line) => line.includes(folder))) return
    await delay(50)
  }
}

test.each([
  ['raw', 'to-raw', 'file'],
  ['vmdk', 'to-raw', 'device'],
  ['raw', 'to-qcow2', 'file'],
  ['raw', 'to-luks', 'device'],
] as const)(
  '%s %s onto a %s that was there',
  async (format, how, kind) => {
    const image = work.file(`image.${format}`)
    if (format !== 'raw') await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, raw, image)
    const imageId = await work.add(format === 'raw' ? raw : image, {
      disk_format: format,
      container_format: 'bare',
    })
    const file = work.file('volume')
    const pipeline = how === 'to-luks' ? `to,luks,${work.file('key')}` : how.replace('-', ',')
    const overwrite = async (killAfterMs?: number): Promise<{ isDone: boolean; tookMs: number }> => {
      await tool('cp', '--sparse=always', work.file('old'), file)
      const volume = kind === 'device' ? (await tool('losetup', '--find', '--show', file)).trim() : file
      try {
        return await run(
          [pipeline, `${work.directory}/store`, work.conversionDir, imageId, volume],
          killAfterMs,
        )
      } finally {
        await untilNoneWorksIn(work.directory)
        if (kind === 'device') await tool('losetup', '--detach', volume)
      }
    }
    const { isDone, tookMs } = await overwrite()
    expect(isDone).toBe(true)
    expect(await isMistakable(file)).toBe(true)
    for (let count = 0; count < (how === 'to-luks' ? 1 : 3); count += 1) {
      const afterMs = tookMs * (0.3 + 0.7 * Math.random())
      const killed = await overwrite(afterMs)
      const isOld = (await sha256(file)) === hashes.get('old')
      const isMistaken = !killed.isDone && !isOld && (await isMistakable(file))
      const isWhole = isMistaken && (await holdsImage(file, how))
      expect({ isMistaken: isMistaken && !isWhole }, `after ${afterMs} ms`).toEqual({ isMistaken: false })
      expect((await readdir(work.directory)).filter((name) => name.endsWith('.partial'))).toEqual([])
    }
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir },
    )
    await imageUtils.cleanTemporaryFiles()
    expect(await work.leftovers()).toEqual([])
    await rm(file)
  },
  120_000,
)

/** Whether a raw disk begins with all of the image, or a qcow2 holds it. Of LUKS only its key can tell. */
async function holdsImage(file: string, how: string): Promise<boolean> {
  if (how === 'to-luks') return false
  const disk = work.file('read-back')
  if (how === 'to-qcow2') await tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file, disk)
  const bytes = (await readFile(how === 'to-qcow2' ? disk : file)).subarray(0, 48 * MiB)
  return bytes.equals(await readFile(raw))
}
