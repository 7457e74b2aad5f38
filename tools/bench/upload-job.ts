import { execa } from 'execa'
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Arena } from './arena.ts'
import { cinderCall } from './contestants.ts'
import type { Offer } from './fetch-jobs.ts'
import { cinder, floor, ours, type Job } from './job.ts'

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

/** An image without data, for those who only send. */
async function createImage(url: string): Promise<string> {
  const response = await fetch(`${url}/v2/images`, {
    method: 'POST',
    body: JSON.stringify({ name: 'bench', disk_format: 'raw', container_format: 'bare' }),
  })
  return ((await response.json()) as { id: string }).id
}

/** A raw volume into an image, as it is. */
async function open(arena: Arena): Promise<Job> {
  const folder = path.join(arena.folder, 'received')
  await mkdir(folder, { recursive: true })
  const receiver = await startReceiver(folder)
  const { url } = receiver
  const volume = arena.images.raw
  let imageId = ''
  return {
    name: 'upload-raw',
    sizeGiB: arena.images.sizeGiB,
    targets: [
      { against: floor, figure: 'wall', atMost: 1.1 },
      { against: cinder, figure: 'wall', atMost: 1 / 2 },
    ],
    contestants: [
      {
        name: ours,
        description: 'disk-image upload',
        environment: { TMPDIR: arena.folder },
        command: () => [
          ...arena.command,
          'upload',
          volume,
          '--glance',
          url,
          '--image',
          imageId,
          '--disk-format',
          'raw',
          '--json',
        ],
      },
      {
        name: floor,
        description: 'curl -T',
        command: () => ['curl', '-sSf', '-T', volume, `${url}/v2/images/${imageId}/file`],
      },
      cinderCall(() => ['upload', url, imageId, volume, arena.folder]),
    ],
    before: async () => {
      for (const file of await readdir(folder)) await rm(path.join(folder, file))
      imageId = await createImage(url)
      await execa('sync')
    },
    check: async () => {
      await execa('cmp', [volume, path.join(folder, imageId)])
    },
    close: async () => {
      await receiver.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Sending a volume. */
export const uploadOffers: readonly Offer[] = [{ name: 'upload-raw', open }]
