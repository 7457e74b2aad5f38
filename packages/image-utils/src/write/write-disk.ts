import { stat, truncate } from 'node:fs/promises'
import path from 'node:path'
import { type CallOptions, type EncodedImage, ImageUnacceptableError, type Target } from '@disk-image/core'
import { openStreamDecoder, planStream } from '@disk-image/disk'
import type { Cipher } from '@disk-image/qemu-img'
import { isBlockDevice, type OpenVolumeOptions, spaceError, supportsDirectIo } from '@disk-image/host'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services, Throttle } from '../services/services.ts'
import { RateLimiter, SparseSink } from '@disk-image/io'
import { readFileInChunks } from '../files/file-chunks.ts'
import { withFileReader } from '../files/file-reader.ts'
import { headBytes } from '../route/formats.ts'
import type { Route, RouteTarget } from '../route/route.ts'
import { checkSameSize } from '../judge/judge.ts'
import { type DiskFile, openDiskFile } from './disk-file.ts'
import { checkFormatOptions, encodeFor, type FormatOptions } from './encode.ts'
import { openTarget } from './open-target.ts'
import { type ToolRun, writeThroughTool } from './write-through-tool.ts'

/** What says how a disk is written, whether it came from an image service or from a file. */
export interface WriteJob {
  readonly imageId: string
  readonly route: Pick<Route, 'kind'>
  readonly target: RouteTarget
  readonly throttle: Throttle
  /** Whether only the root helper may write the volume. */
  readonly needsRoot: boolean
  readonly call: CallOptions
  readonly request: {
    readonly volume: string
    /** What takes the disk in place of the volume. */
    readonly target?: Target | undefined
    readonly volumeSubformat?: string | undefined
    readonly durable?: boolean | undefined
    readonly passphraseFile?: string | undefined
    readonly cipherSpec?: Cipher | undefined
    readonly keyDerivationMs?: number | undefined
    readonly formatOptions?: FormatOptions | undefined
    readonly sourcePassphraseFile?: string | undefined
    readonly runAsRoot?: boolean | undefined
  }
  /** The last look before what was written becomes whole. */
  readonly confirm?: (() => Promise<void>) | undefined
  /** For what is read next and then removed. @default false */
  readonly temporary?: boolean | undefined
  /** Of a qcow2 that is written. @default 'none' */
  readonly compression?: 'none' | 'zlib' | 'zstd' | undefined
}

/**
 * The one way from a judged disk file onto a target: a fetch's second half, a conversion, what an upload sends.
 *
 * @returns the bytes that it takes there
 */
export async function writeDisk(
  services: Services,
  job: WriteJob,
  disk: DiskFile,
  cleanup: Cleanup,
): Promise<number> {
  const { volume, target: given, formatOptions } = job.request
  checkFormatOptions(job.target.format, job.route.kind === 'encode', formatOptions)
  switch (job.route.kind) {
    case 'read':
      return readOnto(services, job, disk, { path: volume, given, sparse: !job.target.writesZeros })
    case 'encode':
      return encodeOnto(services, job, disk)
    case 'lay-out': {
      const raw = await makeTemporary(services, job, cleanup)
      await readOnto(services, job, disk, { path: raw, sparse: true, temporary: true })
      return writeDisk(services, { ...job, route: { kind: 'convert' } }, await rawDisk(raw), cleanup)
    }
    case 'convert':
    default: {
      const { lengthBytes } = job.target
      if (given !== undefined) {
        // qemu-img writes files.
        const file = await makeTemporary(services, job, cleanup)
        await convertDisk(services, { ...job, request: { volume: file }, temporary: true }, disk)
        return readOnto(services, job, await rawDisk(file), { path: volume, given, sparse: true })
      }
      if (disk.virtualSizeBytes === undefined || lengthBytes <= disk.virtualSizeBytes) {
        return convertDisk(services, job, disk)
      }
      const raw = await makeTemporary(services, job, cleanup)
      const target = { ...job.target, format: 'raw', lengthBytes: 0 }
      await convertDisk(services, { ...job, target, request: { volume: raw }, temporary: true }, disk)
      await truncate(raw, lengthBytes)
      return convertDisk(services, job, await rawDisk(raw))
    }
  }
}

async function makeTemporary(services: Services, { imageId }: WriteJob, cleanup: Cleanup): Promise<string> {
  // Of a file, the id is its path.
  const name = path.basename(imageId).slice(0, 100)
  const raw = await services.temporaryFiles.file({ prefix: `image_raw_${name}_` })
  cleanup.always(() => raw[Symbol.asyncDispose]())
  return raw.path
}

async function rawDisk(path: string): Promise<DiskFile> {
  return { path, format: 'raw', virtualSizeBytes: (await stat(path)).size }
}

/** The disk as a file of the target's format, which an encoder of ours makes. */
async function encodeOnto(services: Services, job: WriteJob, file: DiskFile): Promise<number> {
  await using opened = await openDiskFile(services, file, job.call)
  const encoded = await encodeFor(services, job, opened.disk)
  try {
    return await writeEncoded(services, job, encoded)
  } finally {
    await encoded.close?.()
  }
}

/**
 * What an encoder of ours makes, onto its target.
 *
 * @returns the bytes that it takes there
 */
export async function writeEncoded(
  services: Services,
  job: TargetJob & Pick<WriteJob, 'confirm' | 'throttle'>,
  encoded: EncodedImage,
): Promise<number> {
  const { request, call, imageId } = job
  const { sizeBytes } = encoded
  const options = { ...volumeOptions(services, job), fileLengthBytes: 0, sizeBytes }
  await using onto = await openTarget(request.target, request.volume, options)
  const limiter = rateLimiterOf(job)
  let dataBytes = 0
  const write = async (bytes: Uint8Array, offset: number): Promise<void> => {
    await limiter?.take(bytes.length)
    dataBytes += bytes.length
    await onto.write(bytes, offset)
  }
  const zero = (offset: number, length: number): Promise<void> => onto.zero(offset, length)
  let fileBytes = 0
  if (request.target === undefined) fileBytes = await encoded.writeTo({ write, zero }, call)
  else {
    for await (const chunk of encoded.open(call)) {
      await write(chunk, fileBytes)
      fileBytes += chunk.length
    }
  }
  checkSameSize(imageId, fileBytes, sizeBytes)
  await job.confirm?.()
  await onto.commit(fileBytes)
  return dataBytes
}

interface RawTarget {
  readonly path: string
  /** What the caller gave in its place. */
  readonly given?: Target | undefined
  readonly sparse: boolean
  readonly temporary?: boolean
}

/** A disk onto a raw target, with neither a process nor qemu-img. */
async function readOnto(
  services: Services,
  job: WriteJob,
  disk: DiskFile,
  { path, given, sparse, temporary }: RawTarget,
): Promise<number> {
  const isRaw = disk.format === 'raw'
  // What is open already may be a device, which has no length as a file.
  const isFile = isRaw && disk.reader === undefined
  const sizeBytes = isFile ? (await stat(disk.path)).size : disk.virtualSizeBytes
  const options = volumeOptions(services, job)
  const target = await openTarget(given, path, {
    ...options,
    sizeBytes,
    temporary: temporary ?? options.temporary,
  })
  try {
    const sink = new SparseSink(target, { sparse, rateLimiter: rateLimiterOf(job) })
    // A qcow2 has its clusters in any order, and what is decoded in that order would wait for what comes later.
    const decodes = disk.format === 'qcow2' && disk.disk === undefined && given === undefined
    const copy = isFile ? copyRaw : decodes ? decodeFile : copyDisk
    const copiedBytes = await copy(services, job, disk, sink)
    checkSameSize(job.imageId, copiedBytes, sizeBytes)
    await job.confirm?.()
    await target.commit(Math.ceil(copiedBytes / 512) * 512)
    return sink.written
  } finally {
    await target.close()
  }
}

/** Puts a disk into a sink, and says how many bytes it has. */
type Copy = (services: Services, job: WriteJob, disk: DiskFile, sink: SparseSink) => Promise<number>

const copyRaw: Copy = async (_services, { call }, { path }, sink) => {
  const total = (await stat(path)).size
  for await (const chunk of readFileInChunks(path, { signal: call.signal })) {
    await sink.write(chunk)
    call.onProgress?.({ stage: 'write', completed: sink.offset, total, unit: 'bytes' })
  }
  return sink.offset
}

/** As it is decoded while it arrives, on all cores. What has to wait is in the file already. */
const decodeFile: Copy = async ({ decodeWorkers: workers }, { call, imageId }, { path }, sink) => {
  const head = await withFileReader(path, (reader) => reader.read(0, headBytes))
  const plan = planStream('qcow2', head)
  // It was judged as one that is.
  if (!plan.supported) {
    throw new ImageUnacceptableError({ imageId, rule: 'source-changed', reason: plan.reason })
  }
  const decoder = await openStreamDecoder(plan.layout, {
    workers,
    spool: { file: path, write: async () => undefined },
    writeZeros: true,
    target: {
      write: (chunk, offset) => sink.writeAt(chunk, offset),
      zero: (offset, length) => sink.zeroAt(offset, length),
    },
    signal: call.signal,
  })
  try {
    const total = (await stat(path)).size
    let completed = 0
    for await (const chunk of readFileInChunks(path, { signal: call.signal })) {
      await decoder.write(chunk, completed)
      completed += chunk.length
      call.onProgress?.({ stage: 'write', completed, total, unit: 'bytes' })
    }
    return (await decoder.end()).virtualSizeBytes
  } finally {
    await decoder.close()
  }
}

/** By a reader of ours, from the disk's start to its end. */
const copyDisk: Copy = async (services, { call }, file, sink) => {
  await using opened = await openDiskFile(services, file, call)
  await opened.disk.copyTo(
    {
      data: (offset, bytes) => sink.writeAt(bytes, offset),
      zero: (offset, length) => sink.zeroAt(offset, length),
    },
    call,
  )
  return sink.offset
}

/** What says how a target is opened. */
interface TargetJob extends Pick<WriteJob, 'call' | 'imageId' | 'request' | 'temporary'> {
  readonly target: Pick<RouteTarget, 'lengthBytes'>
}

/** What every volume is opened with. */
export function volumeOptions(services: Services, job: TargetJob): OpenVolumeOptions {
  const { imageId, request, call, target, temporary } = job
  const { durable } = request
  const { lengthBytes: fileLengthBytes } = target
  const { signal, writeRight } = call
  return { imageId, runner: services.runner, signal, writeRight, durable, fileLengthBytes, temporary }
}

/** Keeps to the rate that the throttle asks for, where nothing but this process writes. */
export function rateLimiterOf(job: Pick<WriteJob, 'throttle' | 'call'>): RateLimiter | undefined {
  const { rateBytesPerSecond } = job.throttle
  return rateBytesPerSecond === undefined ? undefined : new RateLimiter(rateBytesPerSecond, job.call.signal)
}

/** Everything else: qemu-img, told both formats. */
async function convertDisk(services: Services, job: WriteJob, disk: DiskFile): Promise<number> {
  const { request, call, imageId, confirm, needsRoot } = job
  const { format, needsTool } = job.target
  const { durable } = request
  const run = (step: ToolRun): Promise<void> => runQemuImg(services, job, disk, step)
  try {
    if (job.temporary === true) {
      await run({ path: request.volume, into: 'temporary' })
      return (await stat(request.volume)).blocks * 512
    }
    const target = { ...call, path: request.volume, imageId, format, durable }
    const { virtualSizeBytes } = disk
    const all = { ...target, virtualSizeBytes, needsRoot, needsTool, confirm }
    return await writeThroughTool(services, all, run)
  } catch (error) {
    const need = { path: request.volume, imageId, neededBytes: disk.virtualSizeBytes }
    throw (await spaceError(error, need)) ?? error
  }
}

async function runQemuImg(
  services: Services,
  job: WriteJob,
  disk: DiskFile,
  { path, source, range, into, isZero }: ToolRun,
): Promise<void> {
  const { request, call, throttle, target } = job
  const encrypt = target.format === 'luks'
  const isWhole = range === undefined
  const device = await isBlockDevice(path)
  const read = {
    path: disk.path,
    // An encrypted container is carried as raw bytes, until its passphrase is there.
    format: request.sourcePassphraseFile !== undefined && disk.format === 'raw' ? 'luks' : disk.format,
    passphraseFile: request.sourcePassphraseFile,
  }
  const made = {
    path,
    format: target.format,
    subformat: request.volumeSubformat === '' ? undefined : request.volumeSubformat,
    // Exactly the disk's size, not the next one that a disk geometry has.
    forceSize: target.format === 'vpc',
    passphraseFile: encrypt ? request.passphraseFile : undefined,
    cipher: encrypt ? request.cipherSpec : undefined,
    keyDerivationMs: encrypt ? request.keyDerivationMs : undefined,
    compression: target.format === 'qcow2' ? (job.compression ?? 'none') : 'none',
  }
  const isLeftToCache = into === 'temporary' || (request.durable === false && !device)
  await services.qemuImg.convert({
    source: { ...(source === undefined ? read : { path: source, format: 'raw' }), range },
    destination: isWhole ? made : { path, format: 'raw' },
    ...(into === 'part' ? { noCreate: true, destinationRange: range, targetIsZero: isZero } : {}),
    virtualSizeBytes: disk.virtualSizeBytes,
    sparse: !target.writesZeros,
    directIo: device && (await supportsDirectIo(path)),
    cacheMode: isLeftToCache ? 'unsafe' : undefined,
    throttlePrefix: throttle.prefix,
    rateLimitBytesPerSecond: throttle.rateBytesPerSecond,
    asRoot: request.runAsRoot ?? false,
    signal: call.signal,
    // The ends are too short to tell of.
    onProgress: isWhole || into === 'part' ? call.onProgress : undefined,
  })
}
