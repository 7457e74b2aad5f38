import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

/** A proxy through which the data of images only drips. */
export interface SlowProxy extends AsyncDisposable {
  readonly url: string
  /** Resolves when some of an image's data has gone through. */
  readonly dripping: Promise<void>
}

/** Bytes that go through at once: enough for the head of an image to be judged. */
const quickBytes = 2 * 1024 * 1024
const dripBytes = 4096

/** How slow a proxy is. */
interface SlowProxyOptions {
  /** Milliseconds between two drops. @default 50 */
  readonly dripEveryMs?: number
}

/** Hands an answer on, whole, or drop by drop where somebody wants to know that it began. */
async function passOn(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  began: (() => void) | undefined,
  dripEveryMs: number,
): Promise<void> {
  outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
  let passed = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      passed += chunk.length
      if (began === undefined || passed < quickBytes) {
        outgoing.write(chunk)
        continue
      }
      for (let offset = 0; offset < chunk.length; offset += dripBytes) {
        if (outgoing.destroyed) return
        outgoing.write(chunk.subarray(offset, offset + dripBytes))
        began()
        await wait(dripEveryMs)
      }
    }
    outgoing.end()
  } catch {
    outgoing.destroy()
  }
}

/** Starts a proxy in front of a Glance. Everything but image data goes through at full speed. */
export async function startSlowProxy(target: string, options: SlowProxyOptions = {}): Promise<SlowProxy> {
  const began = Promise.withResolvers<void>()
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming
    const onward = request(new URL(url, target), { method, headers }, (answer) => {
      const isData = url.endsWith('/file') && method === 'GET'
      void passOn(answer, outgoing, isData ? () => began.resolve() : undefined, options.dripEveryMs ?? 50)
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    dripping: began.promise,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
