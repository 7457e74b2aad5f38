import { parentPort } from 'node:worker_threads'
import { type DecodeReply, type DecodeRequest, DecodeTasks } from './decode-tasks.ts'

/** From the pool to a worker, and back with the same number. */
export interface WorkerRequest {
  readonly id: number
  readonly request: DecodeRequest
}

/** `ready` is sent once, before anything else. */
export type WorkerMessage = { readonly ready: true } | { readonly id: number; readonly reply: DecodeReply }

const port = parentPort
if (port !== null) {
  const tasks = new DecodeTasks()
  port.on('message', ({ id, request }: WorkerRequest) => {
    const reply = tasks.run(request)
    const message: WorkerMessage = { id, reply }
    port.postMessage(message)
  })
  const ready: WorkerMessage = { ready: true }
  port.postMessage(ready)
}
