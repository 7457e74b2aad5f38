import { spawn } from 'node:child_process'
import { readdir, readFile, readlink, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
/** Kills of each pipeline with `DISK_IMAGE_KILLS`, which may be 50; otherwise as many as the time allows. */
const asked = Number(process.env['DISK_IMAGE_KILLS'] ?? 0)
/** Each signal twice. */
const fewest = 6
const mostMs = 3000
const signals = ['SIGKILL', 'SIGTERM', 'SIGINT'] as const
const child = fileURLToPath(new URL('kill-child.ts', import.meta.url))

let work: Workspace
let raw: string
let rawHash: string

beforeAll(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 96 * MiB)
  // Enough data that a moment can be in the middle of it.
  await tool(
    'dd',
    'if=/dev/urandom',
    `of=${raw}`,
    'bs=1M',
    'seek=16',
    'count=48',
    'conv=notrunc',
    'status=none',
  )
  rawHash = await sha256(raw)
})
afterAll(() => work[Symbol.asyncDispose]())

interface Killed {
  /** Whether the pipeline was done before the signal came. */
  readonly finished: boolean
  readonly tookMs: number
}

/** Runs a pipeline in a process of its own, and ends it so many milliseconds after it began. */
async function run(words: readonly string[], signal?: NodeJS.Signals, afterMs = 0): Promise<Killed> {
  const process_ = spawn(process.execPath, ['--conditions=@disk-image/source', child, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  const ready = new Promise<void>((resolve) => {
    process_.stdout.on('data', (text: Buffer) => {
      output += text.toString()
      if (output.includes('ready')) resolve()
    })
    process_.once('exit', () => resolve())
  })
  const exited = new Promise<void>((resolve) => {
    process_.once('close', () => resolve())
  })
  await ready
  const started = performance.now()
  if (signal !== undefined) {
    await Promise.race([delay(afterMs), exited])
    process_.kill(signal)
  }
  await exited
  return { finished: output.includes('done'), tookMs: performance.now() - started }
}

/** Processes that still work on files of this test. */
async function processesLeft(): Promise<string[]> {
  const left: string[] = []
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id) || Number(id) === process.pid) continue
    const line = await readFile(`/proc/${id}/cmdline`, 'latin1').catch(() => '')
    const folder = await readlink(`/proc/${id}/cwd`).catch(() => '')
    if (line.includes(work.directory) || folder.startsWith(work.directory))
      left.push(line.replaceAll('\0', ' '))
  }
  return left
}

async function untilNoneLeft(): Promise<string[]> {
  for (let tries = 0; tries < 50; tries += 1) {
    if ((await processesLeft()).length === 0) return []
    await delay(100)
  }
  return processesLeft()
}

function isUnfinished(name: string, volume: string): boolean {
  return name.startsWith(`.${volume}.disk-image-`) && name.endsWith('.partial')
}

describe.each(['raw', 'qcow2', 'vmdk', 'vhdx', 'upload'])('%s', (pipeline) => {
  test('random moments', async () => {
    const upload = pipeline === 'upload'
    const volume = upload ? raw : work.file(`volume-${pipeline}`)
    let image = raw
    if (!upload && pipeline !== 'raw') {
      image = work.file(`image-${pipeline}`)
      await tool('qemu-img', 'convert', '-f', 'raw', '-O', pipeline, raw, image)
    }
    const metadata = { disk_format: upload ? 'qcow2' : pipeline, container_format: 'bare' }
    const newImage = async (): Promise<string> =>
      upload ? (await work.store.create({}, metadata)).id : work.add(image, metadata)
    let imageId = await newImage()
    const words = (): string[] => [pipeline, `${work.directory}/store`, work.conversionDir, imageId, volume]
    const { finished, tookMs } = await run(words())
    expect(finished).toBe(true)
    const outside = new Set(await readdir(work.directory))
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir },
    )
    const started = performance.now()
    const goesOn = (count: number): boolean =>
      asked > 0 ? count < asked : count < fewest || performance.now() - started < mostMs
    let count = 0
    for (; goesOn(count); count += 1) {
      if (upload) imageId = await newImage()
      else await rm(volume, { force: true })
      const signal = signals[count % signals.length] ?? 'SIGKILL'
      const killed = await run(words(), signal, Math.random() * tookMs)
      expect(await untilNoneLeft(), signal).toEqual([])
      outside.add(`volume-${pipeline}`)
      const names = await readdir(work.directory)
      // A new volume has its name when it is whole; until then another, which the next run removes.
      const others = names.filter((name) => !isUnfinished(name, `volume-${pipeline}`))
      for (const name of others) expect([...outside], signal).toContain(name)
      const isThere = !upload && names.includes(`volume-${pipeline}`)
      expect(isThere ? await sha256(volume) : rawHash, signal).toBe(rawHash)
      await imageUtils.cleanTemporaryFiles()
      expect(await work.leftovers(), signal).toEqual([])
      // Without the whole of its data an image stays what it was.
      const { status } = await work.store.show({}, imageId)
      expect(['active', ...(upload && !killed.finished ? ['queued'] : [])]).toContain(status)
    }
    console.info(`${pipeline}: killed ${count} times`)
    if (upload) imageId = await newImage()
    if (!upload) await rm(volume, { force: true })
    expect((await run(words())).finished).toBe(true)
    expect((await readdir(work.directory)).filter((name) => name.endsWith('.partial'))).toEqual([])
    const stored = `${work.directory}/store/${imageId}.data`
    const disk = work.file('read-back')
    if (upload) await tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', stored, disk)
    expect(await sha256(upload ? disk : volume)).toBe(rawHash)
    await rm(disk, { force: true })
    await rm(volume === raw ? disk : volume, { force: true })
  }, 900_000)
})
