import { open, stat } from 'node:fs/promises'
import { type CallOptions, KiB, MiB } from '@disk-image/core'
import { openVolume, preparePartial, resolvePlace } from '@disk-image/host'
import { SparseSink, writeSparsely } from '@disk-image/io'
import type { Services } from '../services/services.ts'
import { inspectFile } from '../files/file-reader.ts'
import { readFileInChunks } from '../files/file-chunks.ts'
import { checkSameSize } from '../judge/judge.ts'

/** A destination that a tool writes, and what the disk was judged to be. */
export interface ToolTarget extends CallOptions {
  readonly path: string
  readonly imageId: string
  /** In qemu-img's terms. */
  readonly format: string
  /** Of the disk; undefined where only the key tells. */
  readonly virtualSizeBytes: number | undefined
  readonly durable?: boolean | undefined
  /** Whether only the root helper may write it. */
  readonly needsRoot: boolean
  /** Whether nothing but a tool may: through the helper, or with a throttle's prefix before it. */
  readonly needsTool: boolean
  /** The last look before what was written becomes whole. */
  readonly confirm?: (() => Promise<void>) | undefined
}

/** A part of a disk, in bytes. */
interface Range {
  readonly offset: number
  readonly length: number
}

/** One run of the tool. */
export interface ToolRun {
  readonly path: string
  /** A raw file that is read instead of the disk. */
  readonly source?: string | undefined
  /** Only this part of the disk is read. @default all of it */
  readonly range?: Range | undefined
  /** `part`: into the same part of what is there, as raw bytes; it reads as zeros where `isZero` says so. */
  readonly into: 'new' | 'part' | 'temporary'
  readonly isZero?: boolean | undefined
}

/** More than a volume holds back of its head. */
const headBytes = 4 * MiB + 64 * KiB

/**
 * Has a tool put a disk onto a destination, so that whenever it is killed there is the old content, or nothing that a
 * reader takes for an image, or the whole. A new file has a temporary name until then. Onto what is there the tool
 * writes all but the ends of a raw disk, and those follow at the end; any other format is made in a temporary file,
 * whose bytes are put there as a raw disk's are.
 *
 * @param run runs the tool
 * @returns the bytes that it takes there
 */
export async function writeThroughTool(
  services: Services,
  target: ToolTarget,
  run: (step: ToolRun) => Promise<void>,
): Promise<number> {
  const place = await resolvePlace(target.path)
  if (place.found === undefined) return makeNew(services, target, place.path, run)
  const { virtualSizeBytes } = target
  if (target.format === 'raw' && virtualSizeBytes !== undefined) {
    return overwrite(services, target, place.path, virtualSizeBytes, run)
  }
  await using temporary = await services.temporaryFiles.file({ prefix: 'image_convert_' })
  await run({ path: temporary.path, into: 'temporary' })
  await checkResult(temporary.path, target)
  const { size } = await stat(temporary.path)
  if (!target.needsTool) return await copy(services, target, temporary.path, size)
  const source = temporary.path
  return await overwrite(services, target, place.path, size, (step) => run({ ...step, source }))
}

async function makeNew(
  services: Services,
  target: ToolTarget,
  file: string,
  run: (step: ToolRun) => Promise<void>,
): Promise<number> {
  const partial = await preparePartial(file, target.needsRoot ? services.runner : undefined)
  try {
    await run({ path: partial.path, into: 'new' })
    await checkResult(partial.path, target)
    await target.confirm?.()
    const { blocks } = await stat(partial.path)
    if (target.durable !== false) await synchronize(partial.path)
    await partial.publish({ durable: target.durable !== false })
    return blocks * 512
  } catch (error) {
    await partial.discard()
    throw error
  } finally {
    await partial.close()
  }
}

/** What this user may not open was flushed by the tool. */
async function synchronize(file: string): Promise<void> {
  const handle = await open(file, 'r').catch(() => undefined)
  try {
    await handle?.datasync()
  } finally {
    await handle?.close()
  }
}

/** A tool has its own view of a disk: what it made must be as large as what was judged. */
async function checkResult(file: string, target: ToolTarget): Promise<void> {
  const { format, imageId, virtualSizeBytes, needsRoot } = target
  // A container's size is known to who has the key.
  if (format === 'luks' || virtualSizeBytes === undefined) return
  if (format === 'raw') {
    checkSameSize(imageId, (await stat(file)).size, virtualSizeBytes)
    return
  }
  const inspection = await inspectFile(file).catch((error: unknown) => {
    // What root made may be root's alone.
    if (needsRoot) return undefined
    throw error
  })
  if (inspection?.virtualSizeBytes !== undefined) {
    checkSameSize(imageId, inspection.virtualSizeBytes, virtualSizeBytes)
  }
}

/** Bytes of a file onto what is there, by this process. */
async function copy(
  services: Services,
  target: ToolTarget,
  file: string,
  sizeBytes: number,
): Promise<number> {
  const { imageId, durable, signal, writeRight } = target
  const options = { sizeBytes, imageId, durable, signal, writeRight, runner: services.runner }
  await using volume = await openVolume(target.path, options)
  const sink = new SparseSink(volume, { sparse: true })
  for await (const chunk of readFileInChunks(file, { signal })) await sink.write(chunk)
  await target.confirm?.()
  await volume.commit(sink.offset)
  return sink.written
}

/** Raw bytes onto what is there: the tool writes all but the ends, which a volume has at the end. */
async function overwrite(
  services: Services,
  target: ToolTarget,
  file: string,
  sizeBytes: number,
  run: (step: ToolRun) => Promise<void>,
): Promise<number> {
  const { imageId, durable, signal, writeRight, needsRoot: asRoot } = target
  const { runner, temporaryFiles } = services
  const options = { sizeBytes, imageId, durable, signal, writeRight, runner, asRoot }
  await using volume = await openVolume(target.path, options)
  const putEnd = async (range: Range): Promise<void> => {
    if (range.length === 0) return
    await using part = await temporaryFiles.file({ prefix: 'image_part_' })
    await run({ path: part.path, range, into: 'temporary' })
    let { offset } = range
    for await (const chunk of readFileInChunks(part.path, { signal })) {
      await writeSparsely(volume, chunk, offset)
      offset += chunk.length
    }
    checkSameSize(imageId, offset - range.offset, range.length)
  }
  const end = Math.ceil(sizeBytes / 512) * 512
  const head = { offset: 0, length: Math.min(headBytes, end) }
  const tailStart =
    volume.kind === 'block-device'
      ? Math.max(head.length, Math.min(end, volume.sizeBytes - (volume.sizeBytes % 512) - MiB))
      : end
  const body = { offset: head.length, length: tailStart - head.length }
  // Nothing of the old content is left before the tool begins.
  await volume.zero(0, 0)
  if (body.length > 0) {
    await run({ path: file, range: body, into: 'part', isZero: volume.kind === 'file' })
  }
  await putEnd({ offset: tailStart, length: end - tailStart })
  await putEnd(head)
  await target.confirm?.()
  await volume.commit(end)
  if (volume.kind === 'block-device') return sizeBytes
  return (await stat(file)).blocks * 512
}
