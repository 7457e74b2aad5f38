import { serveRequests } from '@disk-image/io'
import { createWriteHandler } from './guarded-handle.ts'

serveRequests(createWriteHandler)
