import { mkdir } from 'node:fs/promises'
import { serve } from '@hono/node-server'
import { createApp } from './app.ts'

const [directory = 'images', port = '8080'] = process.argv.slice(2)
await mkdir(directory, { recursive: true })
const app = createApp({ directory, maxBytes: 100 * 1024 ** 3 })
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) }, (address) => {
  console.log(`PUT http://127.0.0.1:${address.port}/images/NAME?format=qcow2`)
})
