import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { ImageMetadata, ImageRecord, ImageService } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'
import { readFileInChunks } from '../../src/files/file-chunks.ts'
import { tool } from './support.ts'

/** What the original makes of an image, by declared format: `same SIZE HASH`, or a word for anything else. */
export interface CorpusVerdicts {
  readonly fetch: Readonly<Record<string, string>>
  readonly compressed?: Readonly<Record<string, string>>
  readonly upload: string
}

/** Where ours differs on purpose. */
export interface CorpusDifference {
  readonly id: string
  readonly formats: readonly string[]
  readonly why: string
  /** `SIZE HASH` of the disk that comes out. */
  readonly disk?: string
}

function load(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'))
}

export const verdicts = load('corpus.json') as Readonly<Record<string, CorpusVerdicts>>
export const differences = load('corpus-differences.json') as {
  readonly refused: readonly CorpusDifference[]
  readonly accepted: readonly CorpusDifference[]
  readonly otherBytes: readonly CorpusDifference[]
}

/** The difference about an image declared as a format, if there is one. */
export function differenceOf(
  list: readonly CorpusDifference[],
  id: string,
  format: string,
): CorpusDifference | undefined {
  return list.find((entry) => entry.id === id && entry.formats.includes(format))
}

/** Builds the corpus, about 190 MB of sparse files. */
export async function buildCorpus(directory: string): Promise<(id: string) => string> {
  const corpus = new URL('../../../format-policy/test/corpus/', import.meta.url)
  const script = fileURLToPath(new URL('make_corpus.py', corpus))
  const only = fileURLToPath(new URL('vectors/ids.json', corpus))
  // The recipes need Debian's Python, wherever another one is installed.
  requireTool('python3')
  await promisify(execFile)('/usr/bin/python3', [script, directory, '--only', only])
  return (id) => `${directory}/${id}/disk.img`
}

/** Serves one file as an image, unhashed: what is looked at here is its format. */
export function serveFile(file: string, metadata: ImageMetadata, size: number): ImageService {
  const record: ImageRecord = { ...metadata, id: 'corpus', status: 'active', size, properties: {} }
  const service: Pick<ImageService, 'show' | 'download'> = {
    show: async () => record,
    download: async (_context, _imageId, sink, options = {}) => {
      for await (const chunk of chunksOf(file, size, options.signal)) await sink.write(chunk)
      return {
        bytes: size,
        resumes: 0,
        hash: undefined,
        verified: [],
        additionalHashes: {},
        durationSeconds: 0,
      }
    },
  }
  return service as ImageService
}

/** The bytes of a file. Of the holes in a large one only the zeroes are served, nothing is read. */
async function* chunksOf(
  file: string,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const zeroes = new Uint8Array(8 * 1024 * 1024)
  let position = 0
  for (const [start, end] of [...(await dataOf(file, size)), [size, size] as const]) {
    for (let left = start - position; left > 0; left -= zeroes.length) {
      // A real service lets the process do other things between its chunks.
      await setImmediate()
      signal?.throwIfAborted()
      yield left < zeroes.length ? zeroes.subarray(0, left) : zeroes
    }
    yield* readFileInChunks(file, { start, length: Math.min(end, size) - start, signal })
    position = end
  }
}

const blockBytes = 65_536
const zeroBlock = Buffer.alloc(blockBytes)

/**
 * Size and the first 16 digits of the SHA-256 over every 64 KiB block that is not all zeroes, with its index
 * before it: cheap for a disk of any size.
 */
export async function fingerprint(file: string): Promise<string> {
  const { size } = await stat(file)
  const hash = createHash('sha256')
  const handle = await open(file)
  let next = 0
  try {
    for (const [from, to] of await dataOf(file, size)) {
      // A block in which one range of data ends and the next begins counts once.
      for (let offset = Math.max(from, next); offset < to; offset += blockBytes) {
        next = offset + blockBytes
        const block = Buffer.alloc(blockBytes)
        await handle.read(block, 0, blockBytes, offset)
        if (block.equals(zeroBlock)) continue
        const index = Buffer.alloc(8)
        index.writeBigUInt64BE(BigInt(offset / blockBytes))
        hash.update(index).update(block)
      }
    }
  } finally {
    await handle.close()
  }
  return `${size} ${hash.digest('hex').slice(0, 16)}`
}

/** Where a file has data, in whole blocks; of large ones the file system knows. */
async function dataOf(file: string, size: number): Promise<[number, number][]> {
  if (size <= 64 * 1024 * 1024) return [[0, size]]
  const map = JSON.parse(await tool('qemu-img', 'map', '-f', 'raw', '--output=json', file)) as {
    start: number
    length: number
    data: boolean
  }[]
  return map
    .filter(({ data }) => data)
    .map(({ start, length }) => [start - (start % blockBytes), start + length])
}
