import path from 'node:path'
import { createImageUtils, httpStatusOf, parseDiskFormat } from '@disk-image/image-utils'
import type { ImageError, ImageService, Refusal } from '@disk-image/image-utils'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { ContentfulStatusCode } from 'hono/utils/http-status'

export function createApp(imageService: ImageService, directory: string): Hono {
  const imageUtils = createImageUtils({ imageService })
  const transfers = new Map<string, AbortController>()
  const app = new Hono()

  app.get('/images', async (c) => c.json(await imageService.detail({}, { signal: c.req.raw.signal })))

  app.post('/images/:name', async (c) => {
    const format = c.req.query('format')
    const { image } = await imageUtils.streamToImage({
      body: c.req.raw.body ?? new Blob([]).stream(),
      name: c.req.param('name'),
      diskFormat: format === undefined ? undefined : parseDiskFormat(format, 'read'),
      signal: c.req.raw.signal,
    })
    return c.json(image, 201)
  })

  app.post('/volumes/:name', (c) => {
    const name = c.req.param('name')
    if (!/^[\w-]{1,64}$/.test(name)) return c.json({ message: 'Letters, digits, - and _ only' }, 400)
    if (transfers.has(name)) return c.json({ message: `${name} is being written` }, 409)
    const controller = new AbortController()
    transfers.set(name, controller)
    return streamSSE(c, async (stream) => {
      const send = (event: string, data: object): Promise<void> =>
        stream.writeSSE({ event, data: JSON.stringify(data) })
      stream.onAbort(() => controller.abort())
      const volume = path.join(directory, name)
      const onProgress = (progress: object): void => void send('progress', progress)
      await imageUtils
        .imageToVolume({ imageId: c.req.query('image') ?? '', volume, signal: controller.signal, onProgress })
        .then((report) => send('done', report))
        .catch((error: unknown) => send('error', answer(error)))
        .finally(() => transfers.delete(name))
    })
  })

  app.delete('/volumes/:name', (c) => {
    const transfer = transfers.get(c.req.param('name'))
    transfer?.abort()
    return c.body(null, transfer === undefined ? 404 : 202)
  })

  app.onError((error, c) => c.json(answer(error), httpStatusOf(error) as ContentfulStatusCode))
  return app
}

/** A refusal in full; of what failed here only the code. */
function answer(error: unknown): object {
  const { code, message, rule, found, offset, accepted } = error as ImageError & Partial<Refusal>
  return httpStatusOf(error) >= 500 ? { code } : { code, message, rule, found, offset, accepted }
}
