import { appendFileSync, existsSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { ImageService } from '@disk-image/core'
import { createGlanceImageService, createImageUtils } from '@disk-image/image-utils'
import type { ImageUtils } from '@disk-image/image-utils'
import { createDirectoryImageService } from '@disk-image/image-utils/directory'
import { spoil } from './farm.ts'
import { createWorker } from '../../src/worker/create-worker.ts'

// A worker of the fleet as a process of its own: node worker-child.ts CONFIG, where CONFIG is JSON.

/** What such a worker is told. */
export interface WorkerConfig {
  readonly redis: string
  readonly name: string
  readonly host: string
  readonly store: string
  readonly glance?: string
  readonly volumes: string
  readonly conversion: string
  readonly cache?: string
  /** Shared by whom. @default the host */
  readonly cacheSharedBy?: string
  readonly leaseMs: number
  readonly maxCrashes?: number
  readonly jobs?: number
  readonly maxJobs?: number
  /** Whether every byte of a download is another than it should be: to tell what this worker wrote. */
  readonly spoils?: boolean
  /** Milliseconds that every chunk of a download takes longer. */
  readonly slowMs?: number
  /** Bytes of each download after which it waits until there is the file `gate`. */
  readonly gateBytes?: number
  readonly gate?: string
  /** A file that says who wrote what, when. */
  readonly journal: string
}

const config = JSON.parse(process.argv[2] ?? '{}') as WorkerConfig
const nowMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000
const note = (what: string, volume: string): void =>
  appendFileSync(
    config.journal,
    `${JSON.stringify({ what, volume, pid: process.pid, host: config.host, atMs: nowMs() })}\n`,
  )

/** The same service, with downloads that take their time, and one that takes the process down. */
function slow(service: ImageService): ImageService {
  const download: ImageService['download'] = async (context, imageId, sink, options) => {
    note('download', imageId)
    const record = await service.show(context, imageId)
    let bytes = 0
    const passGate = async (): Promise<void> => {
      while (bytes >= (config.gateBytes ?? Infinity) && !existsSync(config.gate ?? '')) {
        options?.signal?.throwIfAborted()
        await delay(10)
      }
    }
    return service.download(
      context,
      imageId,
      {
        write: async (chunk) => {
          if (record.name === 'poison') process.kill(process.pid, 'SIGKILL')
          await passGate()
          bytes += chunk.length
          if (config.slowMs !== undefined) await delay(config.slowMs)
          await sink.write(config.spoils === true ? spoil(chunk) : chunk)
        },
      },
      options,
    )
  }
  return new Proxy(service, {
    get: (target, property) => {
      if (property === 'download') return download
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
}

/** A volume is given by a handle, which leads to its name. */
function nameOf(volume: string): string {
  return volume.startsWith('/proc/') ? readlinkSync(volume) : volume
}

/** The facade, which says when it begins to write a volume, and when it has ended. */
function witnessed(imageUtils: ImageUtils): ImageUtils {
  return {
    ...imageUtils,
    imageToVolume: async (request) => {
      const volume = nameOf(request.volume)
      note('begin', volume)
      try {
        return await imageUtils.imageToVolume(request)
      } finally {
        note('end', volume)
      }
    },
  }
}

const store = createDirectoryImageService({ directory: config.store })
const { glance } = config
const worker = await createWorker({
  connection: config.redis,
  name: config.name,
  host: config.host,
  imageUtils: witnessed(createImageUtils({}, { imageConversionDir: config.conversion })),
  clouds: {
    default: { open: () => ({ imageService: slow(store) }), maxJobs: config.maxJobs },
    ...(glance === undefined
      ? {}
      : { glance: { open: () => ({ imageService: slow(createGlanceImageService({ endpoint: glance })) }) } }),
  },
  backends: { default: { folders: [config.volumes] } },
  limits: { jobs: config.jobs ?? 4 },
  ...(config.cache === undefined
    ? {}
    : { cache: { directory: config.cache, maxBytes: 1024 ** 3, sharedBy: config.cacheSharedBy } }),
  leaseMs: config.leaseMs,
  maxCrashes: config.maxCrashes,
  logger: {
    debug: () => undefined,
    info: () => undefined,
    warn: (message, fields) => note(`warn ${message}`, JSON.stringify(fields)),
    error: (message, fields) => note(`error ${message}`, JSON.stringify(fields)),
  },
})
process.stdout.write(`ready ${process.pid}\n`)
process.on('SIGTERM', () => {
  void worker
    .cleanCache()
    .then(() => worker.close({ graceMs: 5000 }))
    .then(() => process.exit(0))
})
