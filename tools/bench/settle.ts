import { execa } from 'execa'
import { setTimeout as sleep } from 'node:timers/promises'

const hostMs = 4000

/**
 * Waits until a run begins with the same disk and memory as every other: all that is still to be written is.
 *
 * And a virtual machine's free memory goes back to its host after about two seconds (free page reporting), and costs
 * more than a second of processor time per GiB to get again. Whoever runs right after somebody who has just left a few
 * GiB has them for nothing: the order would decide, and an upload of 3 GiB take 1.4 s or 6.
 */
export async function settle(): Promise<void> {
  await execa('sync')
  await sleep(hostMs)
}
