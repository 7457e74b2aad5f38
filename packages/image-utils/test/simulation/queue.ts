import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ImageDownloadFailedError, ImageNotFoundError } from '@disk-image/core'
import type { ByteSink, DownloadOptions, ImageService } from '@disk-image/core'
import { BufferPool, Transfer, writeFully } from '@disk-image/io'
import { demand, SimulatedDiskError, SimulatedFile, Simulation } from '@disk-image/testing/simulation'
import type { ScenarioResult } from '@disk-image/testing/simulation'
import { createImageUtils } from '../../src/create-image-utils.ts'
import type { ImageToVolumeRequest } from '../../src/image-to-volume/request.ts'
import { transferMemoryBytes } from '../../src/queue/run-transfer.ts'
import { Queue } from '../../src/queue/transfer-queue.ts'
import { resolveLimits } from '../../src/queue/transfer.ts'
import type { TransferQueueDependencies } from '../../src/queue/transfer.ts'

const real = createImageUtils()

/** A file of a simulated disk as a sink. */
function sinkOf(file: SimulatedFile): ByteSink {
  let at = 0
  return {
    write: async (bytes) => {
      const offset = at
      at += bytes.length
      await writeFully(file as never, bytes, offset)
    },
  }
}

/** A queue with transfers that share downloads, are cancelled, and fail on the way, at the source or on the disk. */
export async function queue(seed: number): Promise<ScenarioResult> {
  const simulation = new Simulation(seed)
  const { random } = simulation
  const quiet = random.chance(0.1)
  const often = (most: number): number => (quiet || random.chance(0.3) ? 0 : random.spread(most / 10, most))
  const [sourceFails, diskFails, cancels, stalls] = [often(0.2), often(0.02), often(0.4), often(0.2)]
  const outcomes: string[] = []
  const buffers = new BufferPool({ bufferBytes: 4096 })
  const images = new Map(
    Array.from({ length: 1 + random.below(4) }, (_, index) => [
      `${random.pick(['raw', 'qcow2', 'qcow2'])}-${index}`,
      random.bytes(Math.floor(random.spread(1, 100_000))),
    ]),
  )
  const bytesOf = (imageId: string): Buffer => images.get(imageId) ?? Buffer.alloc(0)
  const writing = new Map<string, string>()
  const held = new Map<ImageService, SimulatedFile>()
  let [heldFiles, heldBytes, running] = [0, 0, 0]

  const newFile = (sizeBytes: number): SimulatedFile =>
    new SimulatedFile(simulation, sizeBytes, {
      fails: diskFails,
      shortWrites: 0.2,
      mostMs: random.spread(1, 2000),
    })

  const service = {
    show: async (_context: object, imageId: string, { signal }: { signal?: AbortSignal } = {}) => {
      await delay(random.spread(1, 1000), undefined, { signal })
      if (random.chance(sourceFails)) throw new ImageDownloadFailedError({ imageId, reason: 'simulated' })
      if (!images.has(imageId)) throw new ImageNotFoundError({ imageId })
      const data = bytesOf(imageId)
      return {
        id: imageId,
        disk_format: imageId.split('-')[0],
        container_format: 'bare',
        properties: {},
        size: data.length,
        os_hash_algo: 'sha256',
        os_hash_value: createHash('sha256').update(data).digest('hex'),
      }
    },
    download: async (_context: object, imageId: string, sink: ByteSink, given: DownloadOptions = {}) => {
      const data = bytesOf(imageId)
      const { signal } = given
      const image = await service.show({}, imageId, signal === undefined ? {} : { signal })
      const transfer = new Transfer(sink, { ...given, image }, { buffers })
      const [everyMs, portion] = [random.spread(1, 500), Math.floor(random.spread(500, 20_000))]
      const lie = random.chance(sourceFails)
      try {
        for (let at = 0; at < data.length; at += portion) {
          await delay(everyMs * random.next() * (random.chance(stalls) ? 100 : 1), undefined, { signal })
          if (random.chance(sourceFails / 10)) throw new ImageDownloadFailedError({ imageId, reason: 'cut' })
          const part = Buffer.from(data.subarray(at, at + portion))
          if (lie && at === 0) part[0] = (part[0] ?? 0) ^ 1
          await transfer.push(part)
        }
        return { ...(await transfer.finish()), resumes: 0, durationSeconds: 1 }
      } finally {
        await transfer.close()
      }
    },
  } as unknown as ImageService

  const imageUtils: TransferQueueDependencies['imageUtils'] = {
    options: real.options,
    openSource: (word, keywords) => real.openSource(word, keywords),
    imageToVolume: async (request) => {
      const { imageId = '', volume, imageService = service, signal } = request
      demand(!writing.has(volume), simulation, `${volume} has two writers`)
      writing.set(volume, imageId)
      running += 1
      demand(running <= limits.jobs, simulation, `${running} transfers run at once`)
      const file = newFile(bytesOf(imageId).length)
      try {
        const stored = held.get(imageService)
        if (stored === undefined) {
          await imageService.download({}, imageId, sinkOf(file), { signal })
        } else {
          demand(stored.bytes.length === bytesOf(imageId).length, simulation, 'a shared file is gone')
          await sinkOf(file).write(stored.bytes)
        }
        signal?.throwIfAborted()
        demand(file.bytes.equals(bytesOf(imageId)), simulation, `${volume} has other bytes than ${imageId}`)
        const bytesDownloaded = stored === undefined ? file.bytes.length : 0
        const durationSeconds = { download: 1, convert: 0, total: 1 }
        return { imageId, volume, bytesDownloaded, bytesWritten: file.bytes.length, durationSeconds } as never
      } finally {
        demand(file.pending === 0, simulation, `${volume} is still written when its transfer is over`)
        writing.delete(volume)
        running -= 1
      }
    },
    TemporaryImages: {
      fetch: async (proxy: ImageService, _context: object, imageId: string, given: DownloadOptions) => {
        const file = newFile(bytesOf(imageId).length)
        heldFiles += 1
        heldBytes += file.bytes.length
        const remove = (): void => {
          heldFiles -= 1
          heldBytes -= file.bytes.length
          file.bytes = Buffer.alloc(0)
          held.delete(proxy)
        }
        try {
          await proxy.download({}, imageId, sinkOf(file), given)
        } catch (error) {
          remove()
          throw error
        }
        held.set(proxy, file)
        return {
          path: imageId,
          [Symbol.asyncDispose]: async () => {
            await delay(random.spread(1, 100))
            remove()
          },
        }
      },
    } as never,
  }

  const settings = {
    jobs: 1 + random.below(5),
    jobsPerDevice: 1 + random.below(3),
    bytesInFlight: transferMemoryBytes + Math.floor(random.spread(1, transferMemoryBytes * 4)),
    stopOnFailure: random.chance(0.1),
  }
  const limits = resolveLimits(settings)
  const result = await simulation.run(async () => {
    const controller = new AbortController()
    const made = new Queue(
      { imageUtils, imageService: service },
      { ...settings, signal: controller.signal },
      limits,
      async (volume) => {
        await delay(random.spread(1, 50))
        return { kind: 'new', keys: [volume], device: volume.split('/')[0] ?? '' }
      },
    )
    const count = 1 + random.below(20)
    const names = [...images.keys(), ...(random.chance(0.2) ? ['raw-none'] : [])]
    const ends = Array.from({ length: count }, async (_, index) => {
      await delay(random.spread(1, 20_000))
      const volume = `device-${random.below(3)}/volume-${random.chance(0.9) ? index : 0}`
      const own = new AbortController()
      const request = {
        imageId: names[random.below(names.length)],
        volume,
        signal: own.signal,
      } as ImageToVolumeRequest
      const transfer = made.add(request)
      const reason = new Error('simulated cancel')
      if (random.chance(cancels)) {
        simulation.at(random.spread(1, 100_000), 'cancel', () =>
          random.chance(0.5) ? transfer.cancel(reason) : own.abort(reason),
        )
      }
      let ended = 0
      await transfer.outcome.then((outcome) => {
        ended += 1
        outcomes.push(outcome.state)
        if (outcome.state === 'cancelled' && !settings.stopOnFailure)
          demand(outcome.reason === reason, simulation, `${volume} was cancelled for another reason`)
        if (outcome.state !== 'failed') return undefined
        const { error } = outcome
        const known =
          error instanceof SimulatedDiskError || (error as { readonly code?: unknown }).code !== undefined
        if (!known) throw error
        demand(
          !quiet || volume.endsWith('-0') || request.imageId === 'raw-none',
          simulation,
          `${volume} failed on a quiet day: ${String(error)}`,
        )
        return undefined
      })
      demand(ended === 1, simulation, `${volume} ended ${ended} times`)
    })
    await Promise.all(ends)
    const summary = await made.finished()
    demand(
      summary.done + summary.failed + summary.cancelled === count,
      simulation,
      'the summary has not every transfer',
    )
    demand(heldFiles === 0 && heldBytes === 0, simulation, `${heldFiles} temporary files are left`)
    demand(buffers.free === 24, simulation, `${24 - buffers.free} buffers are not given back`)
    await made[Symbol.asyncDispose]()
  }, 24 * 3_600_000)
  return { ...result, outcomes }
}
