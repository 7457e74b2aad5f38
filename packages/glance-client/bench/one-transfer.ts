// One download or upload, so that its memory and processor time can be measured.
import { write } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { createGlanceClient } from '@disk-image/glance-client'

const [verb, endpoint = '', imageId = '', file = ''] = process.argv.slice(2)
await using client = createGlanceClient({ endpoint })
if (verb === 'download') {
  await using target = await open(file, 'w')
  let position = 0
  await client.download(
    imageId,
    {
      write: (bytes) =>
        new Promise((resolve, reject) => {
          write(target.fd, bytes, 0, bytes.length, position, (error, written) => {
            position += written
            if (error === null) resolve()
            else reject(error)
          })
        }),
    },
    { verify: 'strict' },
  )
} else {
  const { size } = await stat(file)
  await client.upload(imageId, {
    size,
    async *open() {
      await using source = await open(file)
      yield* source.createReadStream({
        highWaterMark: 1024 * 1024,
        autoClose: false,
      }) as AsyncIterable<Buffer>
    },
  })
}
