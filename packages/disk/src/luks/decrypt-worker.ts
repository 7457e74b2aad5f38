import { serveRequests } from '@disk-image/io'
import { createDecryptHandler } from './decrypt-pool.ts'

serveRequests(createDecryptHandler)
