import { serveRequests } from '../threads/serve-requests.ts'
import { beginTask, createHashHandler } from './hash-task.ts'

// Whoever waits for this thread has nothing for it yet; its first hash takes 10 ms longer than the others.
beginTask({ kind: 'hash', algorithm: 'sha512' })

serveRequests(createHashHandler)
