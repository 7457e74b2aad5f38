import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { requireTool, startGlance, startRedis } from '@disk-image/testing'
import { run } from './run.ts'

/** What the READMEs' first examples find when they run: images, volumes, a Glance. */
export interface Stage extends AsyncDisposable {
  /** Paths as the READMEs have them, and what stands for them here. */
  readonly paths: Readonly<Record<string, string>>
  readonly environment: Readonly<Record<string, string>>
  /** A qcow2 of {@link diskBytes}. */
  readonly qcow2: string
  /** The image that the READMEs name; in the Glance and, once put there, in the folder. */
  readonly imageId: string
}

/** Bytes of the disk that every example works on. */
export const diskBytes: number = 8 * 1024 * 1024

const imageId = 'b0a1c2d3-e4f5-4678-9abc-def012345678'

async function addToGlance(url: string, file: string): Promise<void> {
  const image = { id: imageId, name: 'ubuntu', disk_format: 'qcow2', container_format: 'bare' }
  const json = { 'Content-Type': 'application/json' }
  const data = { 'Content-Type': 'application/octet-stream' }
  const created = await fetch(`${url}/v2/images`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify(image),
  })
  if (!created.ok) throw new Error(`Glance said ${created.status}: ${await created.text()}`)
  const stored = await fetch(`${url}/v2/images/${imageId}/file`, {
    method: 'PUT',
    headers: data,
    body: readFileSync(file),
  })
  if (!stored.ok) throw new Error(`Glance said ${stored.status}: ${await stored.text()}`)
}

/** Makes a disk, the same as a qcow2, a Glance that has it, and a Redis. */
export async function setStage(folder: string): Promise<Stage> {
  const images = path.join(folder, 'images')
  const volumes = path.join(folder, 'volumes')
  for (const each of [images, volumes]) mkdirSync(each, { recursive: true })
  const raw = path.join(images, 'disk')
  const qcow2 = path.join(images, 'disk.qcow2')
  const disk = Buffer.alloc(diskBytes)
  disk.fill('boot', 4096, 70_000)
  disk.writeUInt16LE(0xaa55, 510)
  writeFileSync(raw, disk)
  await run(requireTool('qemu-img'), ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2], { cwd: folder })
  await using started = new AsyncDisposableStack()
  const glance = started.use(await startGlance())
  const redis = started.use(await startRedis())
  await addToGlance(glance.url, qcow2)
  const cloud = { auth_type: 'none', image_endpoint_override: glance.url }
  const clouds = path.join(folder, 'clouds.yaml')
  writeFileSync(clouds, JSON.stringify({ clouds: { 'my-cloud': cloud, production: cloud } }))
  const services = started.move()
  return {
    paths: {
      '/var/lib/images': images,
      '/dev/vg/volume-1': path.join(volumes, 'volume-1'),
      '/dev/vg0/volume': path.join(volumes, 'volume'),
      '/srv/volumes': volumes,
      '/var/cache/disk-image': path.join(folder, 'cache'),
      'http://glance.example:9292': glance.url,
      'redis://redis.example:6379': redis.url,
    },
    environment: { OS_CLIENT_CONFIG_FILE: clouds, XDG_DATA_HOME: path.join(folder, 'data') },
    qcow2,
    imageId,
    [Symbol.asyncDispose]: () => services.disposeAsync(),
  }
}
