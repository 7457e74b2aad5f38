import { serveRequests } from '@disk-image/io'
import { createCipherHandler } from './cipher-pool.ts'

serveRequests(createCipherHandler)
