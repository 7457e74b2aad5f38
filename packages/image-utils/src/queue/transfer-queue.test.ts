import { once } from 'node:events'
import type { ImageService, TemporaryPath } from '@disk-image/core'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createImageUtils } from '../create-image-utils.ts'
import type { ImageUtils } from '../image-utils.ts'
import type { ImageToVolumeReport, ImageToVolumeRequest } from '../image-to-volume/request.ts'
import {
  type TransferQueueDependencies,
  type TransferQueueOptions,
  resolveLimits,
  type TransferOutcome,
} from './transfer.ts'
import { createTransferQueue, Queue } from './transfer-queue.ts'
import { transferMemoryBytes } from './run-transfer.ts'

const made = createImageUtils()
const { options } = made
const openSource: ImageUtils['openSource'] = (word, keywords) => made.openSource(word, keywords)

/** What the fakes saw. */
interface Sight {
  readonly writing: Set<string>
  readonly held: Map<string, number>
  downloads: string[]
}

/** Volumes are `DEVICE/NAME`, images are `SIZE` or `bad-SIZE`, in MiB; every wait ends when the test says so. */
function fake(wait: () => Promise<void>): { dependencies: TransferQueueDependencies; sight: Sight } {
  const sight: Sight = { writing: new Set(), held: new Map(), downloads: [] }
  const service = {
    show: async (_context: unknown, id: string) => ({
      id,
      size: Number(/\d+$/.exec(id)?.[0]) * 1024 * 1024,
      disk_format: 'qcow2',
      container_format: 'bare',
      properties: {},
    }),
    download: async () => {
      await wait()
      return { bytes: 1, resumes: 0, hash: undefined, verified: [], additionalHashes: {}, durationSeconds: 1 }
    },
  } as unknown as ImageService
  const imageToVolume = async (request: ImageToVolumeRequest): Promise<ImageToVolumeReport> => {
    const { imageId = '', volume, imageService, signal } = request
    sight.writing.add(volume)
    try {
      if (imageService === service) {
        sight.downloads.push(imageId)
        await service.download({}, imageId, { write: () => undefined })
      }
      await wait()
      signal?.throwIfAborted()
      if (imageId.startsWith('bad')) throw new Error('a bad image')
      return { imageId, volume, bytesDownloaded: 1, bytesWritten: 2, durationSeconds: {} } as never
    } finally {
      sight.writing.delete(volume)
    }
  }
  const TemporaryImages = {
    fetch: async (proxy: ImageService, _context: unknown, imageId: string): Promise<TemporaryPath> => {
      sight.downloads.push(imageId)
      sight.held.set(imageId, Number(/\d+$/.exec(imageId)?.[0]))
      await proxy.download({}, imageId, { write: () => undefined })
      return {
        path: imageId,
        [Symbol.asyncDispose]: async () => {
          sight.held.delete(imageId)
        },
      }
    },
  } as unknown as ImageUtils['TemporaryImages']
  return {
    dependencies: {
      imageUtils: { imageToVolume, openSource, TemporaryImages, options },
      imageService: service,
    },
    sight,
  }
}

function open(dependencies: TransferQueueDependencies, limits: TransferQueueOptions): Queue {
  return new Queue(dependencies, limits, resolveLimits(limits), async (volume) => ({
    kind: 'new',
    keys: [volume],
    device: volume.split('/')[0] ?? '',
  }))
}

test('whatever is asked for: bounds hold, everybody ends once, nothing stays', async () => {
  const wish = fc.record({
    imageId: fc.constantFrom('10', '50', '200', 'bad-30', 'bad-31'),
    device: fc.constantFrom('a', 'b'),
    cancel: fc.boolean(),
  })
  const limits = fc.record({
    jobs: fc.integer({ min: 1, max: 5 }),
    jobsPerDevice: fc.integer({ min: 1, max: 3 }),
    bytesInFlight: fc.constantFrom(1, 100 * 1024 * 1024, 300 * 1024 * 1024),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      limits,
      fc.array(wish, { maxLength: 25 }),
      async (schedule, bounds, wishes) => {
        const { dependencies, sight } = fake(async () => {
          const devices = [...sight.writing].map((volume) => volume.split('/')[0])
          expect(devices.length).toBeLessThanOrEqual(bounds.jobs)
          for (const device of ['a', 'b']) {
            expect(devices.filter((name) => name === device).length).toBeLessThanOrEqual(bounds.jobsPerDevice)
          }
          await schedule.schedule(Promise.resolve())
        })
        const queue = open(dependencies, bounds)
        const transfers = wishes.map(({ imageId, device }, index) =>
          queue.add({ imageId, volume: `${device}/${index}` }),
        )
        for (const [index, { cancel }] of wishes.entries()) {
          if (cancel && index % 3 === 0) {
            void schedule.schedule(Promise.resolve()).then(() => transfers[index]?.cancel('enough'))
          }
        }
        const summary = await schedule.waitFor(queue.finished())
        const outcomes = await Promise.all(transfers.map(({ outcome }) => outcome))
        for (const [index, outcome] of outcomes.entries()) {
          const { imageId = '', cancel } = wishes[index] ?? {}
          const possible = [
            imageId.startsWith('bad') ? 'failed' : 'done',
            ...(cancel === true && index % 3 === 0 ? ['cancelled'] : []),
          ]
          expect(possible).toContain(outcome.state)
          expect(transfers[index]?.state).toBe(outcome.state)
        }
        const count = (state: string): number => outcomes.filter((outcome) => outcome.state === state).length
        expect(summary).toMatchObject({
          done: count('done'),
          failed: count('failed'),
          cancelled: count('cancelled'),
        })
        expect({ held: sight.held.size, writing: sight.writing.size }).toEqual({ held: 0, writing: 0 })
        // Each image once; a download that everybody left may be begun again by nobody.
        expect(sight.downloads.length).toBe(new Set(sight.downloads).size)
      },
    ),
    { numRuns: 150 },
  )
})

test('bytes in flight stay within the budget, and who needs more than all of it runs alone', async () => {
  const MiB = 1024 * 1024
  let most = 0
  let alone = true
  const { dependencies, sight } = fake(async () => {
    const sizes = [...sight.writing].map((volume) => Number(volume.split('-')[1]) * MiB + transferMemoryBytes)
    const sum = sizes.reduce((total, size) => total + size, 0)
    if (sizes.length > 1) most = Math.max(most, sum)
    if (sizes.some((size) => size > 400 * MiB)) alone &&= sizes.length === 1
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
  })
  const queue = open(dependencies, { jobs: 6, bytesInFlight: 400 * MiB })
  const sizes = [100, 20, 1000, 30, 40, 350, 10, 20, 800, 5, 6, 7, 8]
  const transfers = sizes.map((size, index) =>
    queue.add({ imageId: `image${index}-${size}`, volume: `a/${index}-${size}` }),
  )
  expect(await queue.finished()).toMatchObject({ done: sizes.length, failed: 0 })
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(400 * MiB)
  expect(alone).toBe(true)
  expect(transfers.every(({ state }) => state === 'done')).toBe(true)
})

test('after a failure nothing else begins, where that is wanted', async () => {
  const { dependencies } = fake(async () => undefined)
  const queue = open(dependencies, { jobs: 1, stopOnFailure: true })
  const ids = ['10', 'bad-20', '30', '40']
  const transfers = ids.map((imageId, index) => queue.add({ imageId, volume: `a/${index}` }))
  expect(await queue.finished()).toMatchObject({ done: 1, failed: 1, cancelled: 2 })
  expect(queue.add({ imageId: '50', volume: 'a/9' }).state).toBe('cancelled')
  expect(transfers.map(({ state }) => state)).toEqual(['done', 'failed', 'cancelled', 'cancelled'])
  await expect(transfers[1]?.outcome).resolves.toMatchObject({ error: { message: 'a bad image' } })
})

test('a destination that is in use is refused, and free again afterwards', async () => {
  const { dependencies } = fake(async () => undefined)
  const queue = open(dependencies, {})
  const [first, second] = [
    queue.add({ imageId: '1', volume: 'a/x' }),
    queue.add({ imageId: '2', volume: 'a/x' }),
  ]
  const outcome = (await second.outcome) as Extract<TransferOutcome, { state: 'failed' }>
  expect(String(outcome.error)).toContain('a/x is the destination of another transfer')
  expect((await first.outcome).state).toBe('done')
  expect((await queue.add({ imageId: '2', volume: 'a/x' }).outcome).state).toBe('done')
})

test('a signal cancels all, before and during', async () => {
  // Whatever is begun goes on until the signal.
  const abort = new AbortController()
  const aborted = once(abort.signal, 'abort')
  const { dependencies, sight } = fake(async () => void (await aborted))
  const queue = open(dependencies, { jobs: 2, signal: abort.signal })
  const transfers = ['1', '1', '2', '3'].map((imageId, index) => queue.add({ imageId, volume: `a/${index}` }))
  await expect.poll(() => sight.downloads).toHaveLength(1)
  abort.abort('stop')
  expect(await queue.finished()).toMatchObject({ done: 0, cancelled: 4 })
  expect(await transfers[3]?.outcome).toEqual({ state: 'cancelled', reason: 'stop' })
  expect(queue.add({ imageId: '1', volume: 'a/9' }).state).toBe('cancelled')
  expect({ held: sight.held.size, downloads: sight.downloads }).toEqual({ held: 0, downloads: ['1'] })
  await queue[Symbol.asyncDispose]()
})

test('limits that make no sense are refused', () => {
  const { dependencies } = fake(async () => undefined)
  for (const limits of [{ jobs: 0 }, { jobsPerDevice: 1.5 }, { bytesInFlight: Number.NaN }]) {
    expect(() => createTransferQueue(dependencies, limits)).toThrow(`Option ${Object.keys(limits)[0]}`)
  }
})

test('a listener that throws changes nothing', async () => {
  const { dependencies } = fake(async () => undefined)
  const queue = open(dependencies, {
    onChange: () => {
      throw new Error('a careless listener')
    },
  })
  expect((await queue.add({ imageId: '1', volume: 'a/1' }).outcome).state).toBe('done')
})
