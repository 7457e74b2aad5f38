import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { connectBriefly } from '../redis/connection.ts'
import type { RenewalAnswer, RenewalData, RenewalMessage } from './renewer.ts'
import { Renewals } from './renewals.ts'

// The whole of the thread that renews leases: see `Renewer`.

try {
  // Linux takes it for this thread alone. It needs a right that few have.
  setPriority(-10)
} catch {
  // As good as the others, then.
}
const { connection, timeoutMs } = workerData as RenewalData
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
const tell = (answer: RenewalAnswer): void => parentPort?.postMessage(answer)
const renewals = new Renewals(connectBriefly(connection, timeoutMs), (id, state) => tell({ id, state }))
parentPort?.on('message', (message: RenewalMessage) => {
  const { id } = message
  if (message.act === 'add') renewals.add(id, message.request)
  else if (message.act === 'remove') renewals.remove(id)
  else {
    renewals.ask(id).then(
      (state) => tell({ id, state, asked: message.asked }),
      () => tell({ id, state: undefined, asked: message.asked }),
    )
  }
})
