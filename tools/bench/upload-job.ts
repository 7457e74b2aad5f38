import { execa } from 'execa'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Arena } from './arena.ts'
import { cinderCall, type CallReport } from './contestants.ts'
import { createImage } from './glance-arena.ts'
import type { Offer } from './fetch-jobs.ts'
import { cinder, floor, ours, type Job } from './job.ts'
import { settle } from './settle.ts'

const program = path.join(import.meta.dirname, 'upload-receiver.ts')

interface Receiver {
  readonly url: string
  stop(): Promise<void>
}

async function startReceiver(folder: string): Promise<Receiver> {
  const child = execa(process.execPath, [program, folder], {
    stdin: 'pipe',
    stderr: 'inherit',
    buffer: false,
  })
  const lines = createInterface({ input: child.stdout })
  for await (const url of lines) {
    return {
      url,
      stop: async () => {
        child.stdin.end()
        await child
      },
    }
  }
  throw new Error('the receiver did not start')
}

/** Where uploads go. */
interface Target {
  readonly url: string
  /** The file that an image's data ends in. */
  storedAt(imageId: string): string
  stop(): Promise<void>
}

async function openReceiver(arena: Arena): Promise<Target> {
  const folder = path.join(arena.folder, 'received')
  await mkdir(folder, { recursive: true })
  const receiver = await startReceiver(folder)
  return {
    url: receiver.url,
    storedAt: (imageId) => path.join(folder, 'v2/images', imageId, 'file'),
    stop: async () => {
      await receiver.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A raw volume into an image, as it is. */
function uploadJob(arena: Arena, name: string, target: Target, verify: 'strict' | 'none'): Job {
  const { url } = target
  const volume = arena.images.raw
  let imageId = ''
  const upload = (): string[] => [
    ...arena.command,
    'upload',
    volume,
    '--glance',
    url,
    '--image',
    imageId,
    '--disk-format',
    'raw',
    '--verify',
    verify,
    '--json',
  ]
  const type = 'Content-Type: application/octet-stream'
  return {
    name,
    sizeGiB: arena.images.sizeGiB,
    targets: [
      { against: floor, figure: 'wall', atMost: 1.1 },
      { against: cinder, figure: 'call', atMost: 1 / 2 },
    ],
    contestants: [
      {
        name: ours,
        description: `disk-image upload --verify ${verify}`,
        environment: { TMPDIR: arena.folder },
        command: upload,
        read: ({ stdout }) => (JSON.parse(stdout) as CallReport).seconds.total,
      },
      {
        name: floor,
        description: 'curl -T',
        command: () => ['curl', '-sSf', '-H', type, '-T', volume, `${url}/v2/images/${imageId}/file`],
      },
      cinderCall(arena, () => ['upload', url, imageId, volume, arena.folder]),
    ],
    before: async () => {
      if (imageId !== '') await fetch(`${url}/v2/images/${imageId}`, { method: 'DELETE' })
      imageId = await createImage(url, 'raw')
      await settle()
    },
    check: async () => {
      await execa('cmp', [volume, target.storedAt(imageId)])
    },
    close: () => target.stop(),
  }
}

/** Sending a volume. */
export const uploadOffers: readonly Offer[] = [
  {
    name: 'upload-raw',
    open: async (arena) => uploadJob(arena, 'upload-raw', await openReceiver(arena), 'none'),
  },
  {
    name: 'glance-upload-raw',
    firstSizeOnly: true,
    open: async (arena) => {
      const glance = await arena.glance()
      // It stays for whoever comes next.
      const target: Target = { ...glance, stop: () => Promise.resolve() }
      return uploadJob(arena, 'glance-upload-raw', target, 'strict')
    },
  },
]
