import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { parseQcow2 } from '@disk-image/disk/layouts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  openQcow2Stream,
  type Qcow2StreamDecoder,
  type Qcow2StreamOptions,
} from '../../../src/qcow2/stream-decoder.ts'
import { buildImage } from './build-image.ts'
import { at, distinct, far, farData, neighbours, tableOf } from './sample-images.ts'

let directory = ''
let handle: FileHandle
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
  handle = await open(path.join(directory, 'kept'), 'w+')
})
afterEach(async () => {
  await handle.close()
  await rm(directory, { recursive: true, force: true })
})

/** Clusters 130 to 149 are data, scattered, which the table tells of: they go straight to the target. */
const image = buildImage({ l2: neighbours(far, 20).toReversed(), data: farData(distinct(22)) })
/** The table comes last: everything before is kept. */
const waiting = buildImage({ l1: [at(151)], data: farData([...distinct(21), tableOf(neighbours(far, 20))]) })
const start = far * 512
const failure = new Error('no space')

/** It may show at a write already, or only at the end. */
function expectFailure(error: unknown): void {
  expect(error).toBe(failure)
}

/** Takes everything, a little later. */
const later = async (): Promise<void> => {
  await nextTurn()
}

interface Places {
  readonly write?: (chunk: Uint8Array, offset: number) => Promise<void>
  readonly keep?: (chunk: Uint8Array, offset: number) => Promise<void>
}

type Stream = Pick<Qcow2StreamDecoder, 'end' | 'close'> & { write(chunk: Uint8Array): Promise<void> }

/** A stream whose header and table have come. */
async function begin(
  { write = later, keep, ...options }: Partial<Qcow2StreamOptions> & Places = {},
  bytes: Uint8Array = image,
): Promise<Stream> {
  await handle.write(bytes, 0, start, 0)
  const put = async (chunk: Uint8Array, offset: number): Promise<void> => {
    await handle.write(chunk, 0, chunk.byteLength, offset)
  }
  const stream = await openQcow2Stream(parseQcow2(bytes), {
    spool: { file: handle, write: keep ?? put },
    spooledBytes: start,
    target: { write, zero: later },
    workers: 0,
    ...options,
  })
  return placed(stream, start)
}

/** Counts where the stream is. */
function placed(stream: Qcow2StreamDecoder, start: number): Stream {
  let offset = start
  return {
    write: (chunk) => stream.write(chunk, (offset += chunk.byteLength) - chunk.byteLength),
    end: () => stream.end(),
    close: () => stream.close(),
  }
}

/** Asserts that everything about the stream ends in that very error. */
async function expectEnd(stream: Stream, error: unknown): Promise<void> {
  await expect(stream.end()).rejects.toBe(error)
  await expect(stream.write(image.slice(0, 1))).rejects.toBe(error)
  await stream.close()
  await expect(stream.end()).rejects.toBe(error)
  // The caller's handle is left open.
  await expect(handle.stat()).resolves.toBeDefined()
}

describe('a stream whose target fails', () => {
  const failing: readonly (readonly [how: string, write: () => Promise<void>])[] = [
    ['at once', () => Promise.reject(failure)],
    ['later', () => delay(5).then(() => Promise.reject(failure))],
    [
      'by throwing',
      () => {
        throw failure
      },
    ],
  ]
  test.for(failing)('%s, rejects with that very error', async ([, write]) => {
    const stream = await begin({ write })
    await stream.write(image.slice(start)).catch(expectFailure)
    await expectEnd(stream, failure)
  })

  test.for(failing)('%s, at the last cluster of all, does not succeed', async ([, fail]) => {
    const write = (_: Uint8Array, offset: number): Promise<void> => (offset === 0 ? fail() : later())
    const stream = await begin({ write })
    for (let cluster = far; cluster < far + 20; cluster += 1) {
      const chunk = image.slice(cluster * 512, (cluster + 1) * 512)
      await stream.write(chunk).catch(expectFailure)
    }
    await expectEnd(stream, failure)
  })

  test('does not succeed with the file before the last write from the stream has failed', async () => {
    // Those from the file are more than there are buffers, so that the decoder is behind when the last one comes.
    const fromFile = Array.from({ length: 10 }, (_, index) => [at(10 + index), 0n]).flat()
    const bytes = buildImage({ l2: [...fromFile, at(far)], data: farData(distinct(1)) })
    const write = async (_: Uint8Array, offset: number): Promise<void> => {
      await delay(offset === 20 * 512 ? 60 : 5)
      if (offset === 20 * 512) throw failure
    }
    const stream = await begin({ write }, bytes)
    await stream.write(bytes.slice(start)).catch(expectFailure)
    await expectEnd(stream, failure)
  })

  test('rejects only when the rest of the chunk is in its place', async () => {
    let underWay = 0
    const slow = async (): Promise<void> => {
      underWay += 1
      await delay(20)
      underWay -= 1
    }
    const write = (_: Uint8Array, offset: number): Promise<void> =>
      offset === 19 * 512 ? Promise.reject(failure) : slow()
    const stream = await begin({ write })
    await expect(stream.write(image.slice(start)).then(() => stream.end())).rejects.toBe(failure)
    expect(underWay).toBe(0)
    await stream.close()
  })
})

describe('a stream', () => {
  test.for<[string, () => Promise<void>]>([
    ['rejects', () => Promise.reject(failure)],
    [
      'throws',
      () => {
        throw failure
      },
    ],
  ])('ends with the error of a `keep` that %s', async ([, keep]) => {
    const stream = await begin({ keep }, waiting)
    await expect(stream.write(waiting.slice(start, start + 512))).rejects.toBe(failure)
    await expectEnd(stream, failure)
  })

  test("ends with the progress listener's error", async () => {
    const stream = await begin({
      onProgress: ({ completed, total }) => {
        if (completed === total) throw failure
      },
    })
    await stream.write(image.slice(start)).catch(expectFailure)
    await expectEnd(stream, failure)
  })

  test('ends with the reason of an abort, wherever it is', async () => {
    for (const length of [0, 1, 512, 700, 20 * 512 - 1]) {
      const controller = new AbortController()
      const stream = await begin({ signal: controller.signal })
      await stream.write(image.slice(start, start + length))
      controller.abort(failure)
      await expectEnd(stream, failure)
    }
  })

  test('ends with the reason of an abort that comes while its file is opened', async () => {
    const file = path.join(directory, 'kept')
    const late = new AbortController()
    const opened = openQcow2Stream(parseQcow2(image), {
      spool: { file, write: later },
      target: { write: later, zero: later },
      signal: late.signal,
    })
    late.abort(failure)
    const stream = await opened
    await expectEnd(placed(stream, 0), failure)
    await expect(begin({ signal: late.signal })).rejects.toBe(failure)
  })

  test.for(['target', 'keep'] as const)(
    'is closed when nothing is lent to the %s any more',
    async (place) => {
      const events: string[] = []
      const begun = Promise.withResolvers<void>()
      const slow = async (): Promise<void> => {
        begun.resolve()
        await delay(30)
        events.push('done')
      }
      const options = place === 'target' ? { write: slow } : { keep: slow }
      const bytes = place === 'target' ? image : waiting
      const stream = await begin(options, bytes)
      const writing = stream.write(bytes.slice(start, start + 512)).catch((error: unknown) => error)
      await begun.promise
      await stream.close()
      events.push('closed')
      await writing
      expect(events).toEqual(['done', 'closed'])
    },
  )

  test('can be closed at any time, more than once', async () => {
    for (const length of [0, 1, 512, 700]) {
      const stream = await begin()
      await stream.write(image.slice(start, start + length))
      await stream.close()
      await stream.close()
      await expect(stream.write(image.slice(start))).rejects.toThrow('given up')
      await expect(stream.end()).rejects.toThrow('given up')
    }
    const stream = await begin()
    await stream.write(image.slice(start))
    const result = await stream.end()
    await stream.close()
    expect(await stream.end()).toEqual(result)
  })

  test('repeats what refused it', async () => {
    const bytes = buildImage({ l2: [at(far), at(far)], data: farData(distinct(2)) })
    const stream = await begin({}, bytes)
    const error: unknown = await stream.write(bytes.slice(start)).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ rule: 'qcow2-cluster-used-twice' })
    await expectEnd(stream, error)
  })
})
