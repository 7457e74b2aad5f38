import { parentPort } from 'node:worker_threads'

/** Answers requests, one after the other. What it throws is the answer to that request. */
export type RequestHandler<Request, Reply> = (request: Request) => Reply

/** To a thread. */
export type ThreadMessage<Request> =
  | { readonly id: number; readonly lane: number; readonly request: Request }
  /** The lane's handler is not needed any more. */
  | { readonly id: undefined; readonly lane: number }

/** From a thread: that it runs, then an answer to each request in the order in which they came. */
export type ThreadAnswer<Reply> =
  | { readonly id: undefined }
  | { readonly id: number; readonly reply: Reply }
  | { readonly id: number; readonly error: unknown }

/**
 * Answers the requests of a {@link ThreadPool}; the whole of a worker's program.
 *
 * @param createHandler called once for each lane, and once for all requests that belong to none
 */
export function serveRequests<Request, Reply>(createHandler: () => RequestHandler<Request, Reply>): void {
  const port = parentPort
  if (port === null) return
  const handlers = new Map<number, RequestHandler<Request, Reply>>()
  const answer = (id: number, lane: number, request: Request): ThreadAnswer<Reply> => {
    try {
      const handler = handlers.get(lane) ?? createHandler()
      handlers.set(lane, handler)
      return { id, reply: handler(request) }
    } catch (error) {
      return { id, error }
    }
  }
  port.on('message', (message: ThreadMessage<Request>) => {
    if (message.id === undefined) handlers.delete(message.lane)
    else port.postMessage(answer(message.id, message.lane, message.request))
  })
  const ready: ThreadAnswer<Reply> = { id: undefined }
  port.postMessage(ready)
}
