import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ImageError, ImageUnacceptableError, type ImageService } from '@disk-image/core'
import { createFormatPolicy } from '@disk-image/format-policy'
import { inspect, type InspectionResult } from '@disk-image/format-policy/inspector'

/** What came of one line of the list. */
export interface Imported {
  readonly source: string
  readonly outcome: 'imported' | 'refused' | 'failed'
  readonly imageId?: string
  readonly format?: string
  readonly reason?: string
}

/** Glance's names of the formats that we take. */
const diskFormats: Readonly<Record<string, string>> = {
  raw: 'raw',
  qcow2: 'qcow2',
  vmdk: 'vmdk',
  vhd: 'vhd',
  vhdx: 'vhdx',
  vdi: 'vdi',
  iso: 'iso',
}
const policy = createFormatPolicy({ allowedFormats: Object.keys(diskFormats) })

/** Imports files and URLs, one after the other, whatever becomes of each. */
export async function* importAll(
  sources: Iterable<string>,
  imageService: ImageService,
  signal?: AbortSignal,
): AsyncGenerator<Imported> {
  for (const source of sources) {
    signal?.throwIfAborted()
    yield await importOne(source, imageService, signal).catch((error: unknown): Imported => {
      if (signal?.aborted === true) throw error
      const outcome = error instanceof ImageUnacceptableError ? 'refused' : 'failed'
      const reason = ImageError.is(error) || error instanceof Error ? error.message : String(error)
      return { source, outcome, reason }
    })
  }
}

async function importOne(
  source: string,
  imageService: ImageService,
  signal?: AbortSignal,
): Promise<Imported> {
  const directory = await mkdtemp(path.join(tmpdir(), 'batch-importer-'))
  try {
    const isUrl = /^https?:\/\//.test(source)
    const file = isUrl ? path.join(directory, 'image') : source
    if (isUrl) await download(source, file, signal)
    const inspection = await inspectFile(file)
    policy.check(source, { inspection })
    const { size } = await stat(file)
    const image = await imageService.create(
      {},
      {
        name: path.parse(isUrl ? new URL(source).pathname : source).name,
        disk_format: diskFormats[inspection.format] ?? inspection.format,
        container_format: 'bare',
      },
      { data: { size, open: () => readChunks(file) }, signal },
    )
    return { source, outcome: 'imported', imageId: image.id, format: inspection.format }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function download(url: string, file: string, signal?: AbortSignal): Promise<void> {
  const response = await fetch(url, signal === undefined ? {} : { signal })
  if (!response.ok || response.body === null) throw new Error(`${url} answered ${response.status}`)
  await pipeline(response.body, createWriteStream(file, { flags: 'wx', mode: 0o600 }), { signal })
}

async function inspectFile(file: string): Promise<InspectionResult> {
  await using handle = await open(file)
  const { size } = await handle.stat()
  return await inspect({
    size,
    read: async (offset, length) => {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, offset)
      return buffer.subarray(0, bytesRead)
    },
  })
}

async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(file, { highWaterMark: 1024 ** 2 })
}
