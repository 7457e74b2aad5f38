import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { serve } from '@hono/node-server'
import { createDirectoryImageService } from '@disk-image/image-utils'
import { createApp } from './app.ts'

const [directory = 'images-and-volumes', port = '8080'] = process.argv.slice(2)
const volumes = path.join(directory, 'volumes')
await mkdir(volumes, { recursive: true })
const app = createApp(createDirectoryImageService({ directory: path.join(directory, 'images') }), volumes)
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) }, (address) => {
  console.log(`http://127.0.0.1:${address.port}/images`)
})
