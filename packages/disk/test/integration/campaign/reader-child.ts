/** Reads images that may be hostile, in a process that can be given up, and may open nothing but their folder. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import path from 'node:path'
import type { Disk, Envelope } from '@disk-image/core'
import { type MemberSink, openDisk, openVmdkSet, Unwrapper } from '@disk-image/disk'
import { Random } from '../../random.ts'
import { NotStreamed, streamInto } from '../../stream-into.ts'
import { copyInto, openReader } from '../formats/copy-disk.ts'
import type { ReadOutcome, ReadRequest, ReadResult } from './reader-process.ts'

/** Larger disks are read, but not compared: what makes them large is zero. */
const mostComparedBytes = 256 * 1024 ** 2
const mostUnwrappedBytes = 64 * 1024 ** 2

process.on('message', (request: ReadRequest) => {
  void answer(request).then((outcome) => {
    // What one image leaves is not the next one's.
    globalThis.gc?.()
    process.send?.(outcome)
  })
})
process.send?.('ready')

async function answer(request: ReadRequest): Promise<ReadOutcome> {
  const read = await resultOf(() => (request.format === 'wrapped' ? unwrap(request) : readDisk(request)))
  const mayStream = request.format !== 'wrapped' && request.files.length === 1
  return { read, streamed: mayStream ? await resultOf(() => readStream(request)) : { skipped: true } }
}

async function resultOf(act: () => Promise<ReadResult>): Promise<ReadResult> {
  try {
    return await act()
  } catch (error) {
    const rule: unknown = (error as { readonly rule?: unknown }).rule
    // What is not refused by a rule is a fault of the reader.
    return typeof rule === 'string' && rule !== '' ? { rule } : { error: String((error as Error).stack) }
  }
}

async function readDisk({ format, folder, files }: ReadRequest): Promise<ReadResult> {
  const readers = new Map<string, Awaited<ReturnType<typeof openReader>>>()
  try {
    for (const name of files) readers.set(name, await openReader(path.join(folder, 'in', name)))
    const [image] = readers.values()
    if (image === undefined || format === 'wrapped') throw new Error('nothing to read')
    const others = new Map([...readers].slice(1))
    await using disk = others.size === 0 ? await openDisk(image, format) : await openVmdkSet(image, others)
    if (disk.size > mostComparedBytes) {
      await disk.copyTo({ data: () => undefined, zero: () => undefined })
      return { skipped: true }
    }
    await copyInto(path.join(folder, 'ours'), disk)
    await readAnywhere(disk, path.join(folder, 'ours'))
    if (image.largestRead > 4 * 1024 ** 2) throw new Error(`it reads ${image.largestRead} bytes at once`)
    return { sizeBytes: disk.size }
  } finally {
    for (const reader of readers.values()) await reader[Symbol.asyncDispose]()
  }
}

/** A few ranges at random places give what the copy has. */
async function readAnywhere(disk: Disk, copy: string): Promise<void> {
  await using reader = await openReader(copy)
  const random = new Random(disk.size)
  for (let count = 0; count < 3; count += 1) {
    const [offset, length] = [random.below(disk.size + 100), random.below(200_000)]
    const [one, other] = [await disk.read(offset, length), await reader.read(offset, length)]
    if (Buffer.compare(one, other) !== 0) throw new Error(`${length} bytes at ${offset} are read otherwise`)
  }
}

async function readStream({ format, folder, files, seed }: ReadRequest): Promise<ReadResult> {
  const random = new Random(seed)
  await using image = await openReader(path.join(folder, 'in', files[0] ?? ''))
  const [spool, target] = [path.join(folder, 'spool'), path.join(folder, 'streamed')]
  try {
    return await streamInto(random, format, image, { spool, target }, random.pick([0, 0, 0, 0, 0, 2]))
  } catch (error) {
    if (error instanceof NotStreamed) return { skipped: true }
    throw error
  }
}

/** All images out of their envelopes, one after the other into one file. */
async function unwrap({ folder, files, seed }: ReadRequest): Promise<ReadResult> {
  const random = new Random(seed)
  await using ours = await open(path.join(folder, 'ours'), 'w')
  const members: (string | undefined)[] = []
  let sizeBytes = 0
  const unwrapper = new Unwrapper({
    imageId: 'fuzz',
    expected: 'any',
    maxBytes: mostUnwrappedBytes,
    openWithTool: openTool,
    open: ({ name }) => {
      members.push(name)
      return {
        write: async (chunk) => {
          await ours.write(chunk, 0, chunk.length, sizeBytes)
          sizeBytes += chunk.length
        },
      }
    },
  })
  try {
    await using image = await openReader(path.join(folder, 'in', files[0] ?? ''))
    const most = random.pick([70_000, 1_000_000, Math.ceil(image.size / 100) + 1])
    for (let at = 0; at < image.size;) {
      const chunk = await image.read(at, 1 + random.below(most))
      await unwrapper.write(chunk)
      at += chunk.length
    }
    await unwrapper.end()
  } finally {
    await unwrapper.close()
  }
  return { sizeBytes, members, opened: unwrapper.opened }
}

class ToolError extends Error {
  readonly rule = 'compressed-container'
}

function openTool(name: 'xz' | 'bzip2', sink: MemberSink): Envelope {
  const child = spawn(name, ['-dc'], { stdio: ['pipe', 'pipe', 'ignore'] })
  // It may end before it has all.
  child.stdin.on('error', () => undefined)
  const ended = once(child, 'close')
  const passing = (async () => {
    for await (const chunk of child.stdout) await sink.write(chunk as Uint8Array)
  })()
  passing.catch(() => child.kill())
  return {
    write: async (chunk) => {
      if (child.stdin.writable && !child.stdin.write(chunk)) {
        await Promise.race([once(child.stdin, 'drain'), ended]).catch(() => undefined)
      }
    },
    end: async () => {
      child.stdin.end()
      const [code] = (await ended) as [number | null]
      await passing
      if (code !== 0) throw new ToolError(`${name} ended with ${code}`)
    },
    close: async () => {
      child.kill()
      await Promise.all([ended, passing.catch(() => undefined)])
    },
  }
}
