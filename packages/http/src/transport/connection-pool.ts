import type { Connection } from './connection.ts'

/** Connections of one client that are open and have nothing to do, by their server. */
export interface ConnectionPool {
  /** One to the same server, if there is one. It may turn out to be closed by then. */
  take(url: URL): Connection | undefined
  /** Keeps one whose answer was read to its end. */
  keep(url: URL, connection: Connection): void
  /** Closes those that are kept, and all that would be. */
  close(): void
}

/** Shorter than servers wait: nginx 75 s, uWSGI and eventlet 4 s and more. */
const idleMs = 3000
const maximumIdle = 16

/** Makes a {@link ConnectionPool}. What it keeps doesn't hold up the end of the process. */
export function createConnectionPool(): ConnectionPool {
  const idle: { readonly origin: string; readonly connection: Connection; readonly timer: NodeJS.Timeout }[] =
    []
  let closed = false

  const drop = (connection: Connection): void => {
    const index = idle.findIndex((entry) => entry.connection === connection)
    if (index === -1) return
    clearTimeout(idle[index]?.timer)
    idle.splice(index, 1)
    connection.socket.destroy()
  }
  return {
    take(url) {
      const index = idle.findLastIndex(
        (entry) => entry.origin === url.origin && !entry.connection.socket.destroyed,
      )
      const [entry] = index === -1 ? [] : idle.splice(index, 1)
      if (entry === undefined) return undefined
      clearTimeout(entry.timer)
      entry.connection.give(undefined)
      entry.connection.socket.ref()
      return entry.connection
    },
    keep(url, connection) {
      const { socket } = connection
      if (closed || socket.destroyed || idle.length >= maximumIdle) {
        socket.destroy()
        return
      }
      const end = (): void => drop(connection)
      const onRead = (): boolean => {
        // Nobody asked for it.
        end()
        return false
      }
      connection.give({ nextBuffer: () => undefined, onRead, onError: end, onEnd: end, onClose: end })
      socket.unref()
      // It may have been stopped for its last reader; only one that reads notices its end.
      socket.resume()
      idle.push({ origin: url.origin, connection, timer: setTimeout(end, idleMs).unref() })
    },
    close() {
      closed = true
      for (let entry = idle[0]; entry !== undefined; entry = idle[0]) drop(entry.connection)
    },
  }
}
