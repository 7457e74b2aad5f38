import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { ImageUnacceptableError } from '@disk-image/core'
import { createFormatPolicy } from '@disk-image/format-policy'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { Hono } from 'hono'

const policy = createFormatPolicy({
  allowedFormats: ['raw', 'qcow2', 'vmdk'],
  maxVirtualSizeBytes: 2 * 1024 ** 4,
})

/** `PUT /images/NAME?format=qcow2` with the image as its body. */
export function createApp({ directory, maxBytes }: { directory: string; maxBytes: number }): Hono {
  const app = new Hono()
  app.put('/images/:name', async (c) => {
    const name = c.req.param('name')
    const claimedFormat = c.req.query('format') ?? 'raw'
    const { body } = c.req.raw
    if (!/^[\w-]{1,64}$/.test(name) || body === null) return c.json({ reason: 'No name, or no image' }, 400)
    const temporary = path.join(directory, `.${randomUUID()}`)
    try {
      const inspection = await receive(body, temporary, maxBytes, (found) =>
        policy.check(name, { claimedFormat, inspection: found }),
      )
      await rename(temporary, path.join(directory, name))
      const { format, virtualSizeBytes, fileSizeBytes } = inspection
      return c.json({ name, format, virtualSizeBytes, fileSizeBytes }, 201)
    } catch (error) {
      await rm(temporary, { force: true })
      if (!(error instanceof ImageUnacceptableError)) throw error
      const { rule, message, found, offset, accepted } = error
      return c.json({ rule, message, found, offset, accepted }, 422)
    }
  })
  return app
}

/** Writes what arrives, and judges it as soon as its head is known: what is refused then is read no further. */
async function receive(
  body: ReadableStream<Uint8Array>,
  file: string,
  maxBytes: number,
  judge: (inspection: InspectionResult) => void,
): Promise<InspectionResult> {
  const inspector = createInspector()
  let judged = false
  let bytes = 0
  await using handle = await open(file, 'wx', 0o600)
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) {
      throw new ImageUnacceptableError({ imageId: 'upload', reason: 'It is too large', rule: 'upload-size' })
    }
    inspector.write(chunk)
    const head = judged ? undefined : inspector.headVerdict()
    if (head !== undefined) {
      judge(head)
      judged = true
    }
    await handle.appendFile(chunk)
  }
  const inspection = inspector.end()
  // Some formats show what they are only at their end.
  judge(inspection)
  return inspection
}
