import { serveRequests } from '@disk-image/io'
import { createCompressHandler } from './compress-tasks.ts'

serveRequests(createCompressHandler)
