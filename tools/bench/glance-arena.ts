import { startGlance } from '@disk-image/testing'
import { execa } from 'execa'
import path from 'node:path'
import type { Arena } from './arena.ts'

/** The images of an arena, in a real Glance. */
export interface GlanceArena extends Arena {
  /** Where Glance keeps an image's data. */
  storedAt(imageId: string): string
  stop(): Promise<void>
}

/** An image without data. */
export async function createImage(url: string, diskFormat: string): Promise<string> {
  const response = await fetch(`${url}/v2/images`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', disk_format: diskFormat, container_format: 'bare' }),
  })
  if (!response.ok) throw new Error(`${url}: no image was made, ${response.status}`)
  return ((await response.json()) as { id: string }).id
}

/** Starts a Glance and puts the raw and the qcow2 image into it. */
export async function openGlanceArena(arena: Arena): Promise<GlanceArena> {
  const glance = await startGlance()
  const ids = new Map<string, string>()
  try {
    for (const [file, diskFormat] of [
      [arena.images.raw, 'raw'],
      [arena.images.qcow2, 'qcow2'],
    ] as const) {
      const id = await createImage(glance.url, diskFormat)
      ids.set(file, id)
      const type = 'Content-Type: application/octet-stream'
      await execa('curl', ['-sSf', '-H', type, '-T', file, `${glance.url}/v2/images/${id}/file`])
    }
  } catch (error) {
    await glance.stop()
    throw error
  }
  const opened: GlanceArena = {
    ...arena,
    url: glance.url,
    idOf: (file) => {
      const id = ids.get(file)
      if (id === undefined) throw new Error(`${file} is not in Glance`)
      return id
    },
    glance: () => Promise.resolve(opened),
    storedAt: (imageId) => path.join(glance.directory, 'glance/images', imageId),
    stop: () => glance.stop(),
  }
  return opened
}
