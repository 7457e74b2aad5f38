import { serveRequests } from '@disk-image/io'
import { createTaskHandler } from './decode-tasks.ts'

serveRequests(createTaskHandler)
