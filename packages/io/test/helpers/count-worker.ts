import { serveRequests } from '../../src/threads/serve-requests.ts'
import { createCounter } from './counter.ts'

serveRequests(createCounter)
