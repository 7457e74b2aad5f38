import { parentPort } from 'node:worker_threads'
import { ClusterReader, type ClusterReply, type ClusterRequest } from './cluster-reader.ts'

/** From the pool to a worker, and back with the same number. */
export interface WorkerRequest {
  readonly id: number
  readonly request: ClusterRequest
}

/** `ready` is sent once, before anything else. */
export type WorkerMessage = { readonly ready: true } | { readonly id: number; readonly reply: ClusterReply }

const port = parentPort
if (port !== null) {
  const reader = new ClusterReader()
  port.on('message', ({ id, request }: WorkerRequest) => {
    const reply = reader.read(request)
    const message: WorkerMessage = { id, reply }
    port.postMessage(message)
  })
  const ready: WorkerMessage = { ready: true }
  port.postMessage(ready)
}
