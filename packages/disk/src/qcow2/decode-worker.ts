import { parentPort } from 'node:worker_threads'
import { Gatherer, type GatherReply, type GatherRequest } from './gather.ts'

/** From the pool to a worker, and back with the same number. */
export interface WorkerRequest {
  readonly id: number
  readonly request: GatherRequest
}

/** `ready` is sent once, before anything else. */
export type WorkerMessage = { readonly ready: true } | { readonly id: number; readonly reply: GatherReply }

const port = parentPort
if (port !== null) {
  const gatherer = new Gatherer()
  port.on('message', ({ id, request }: WorkerRequest) => {
    const reply = gatherer.gather(request)
    const message: WorkerMessage = { id, reply }
    port.postMessage(message)
  })
  const ready: WorkerMessage = { ready: true }
  port.postMessage(ready)
}
