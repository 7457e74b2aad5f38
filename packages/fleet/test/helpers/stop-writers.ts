import path from 'node:path'
import { writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { requireTool } from '@disk-image/testing'
import type { Fleet } from '../../src/fleet/create-fleet.ts'
import { createFarm, sha256 } from './farm.ts'

const MiB = 1024 * 1024
const leaseMs = 2000

/** How a round is played. */
export interface StopRound {
  readonly redis: string
  readonly fleet: Fleet
  /** In [0, 1). */
  readonly random: () => number
  /** Volumes that are written when the process is stopped. */
  readonly writers: number
  /** Whether the next worker can't see the stopped one, as on another machine that shares its file system. */
  readonly elsewhere: boolean
}

/** What a round came to. */
export interface StopOutcome {
  /** Writers whose process was stopped for longer than their lease. */
  readonly stopped: number
  /** Of these, whose volume another has written in the end. */
  readonly takenOver: number
  /** How their process ended; undefined where it goes on. */
  readonly ended: unknown
  /** Volumes on which something of the stopped process was written after the next one began. */
  readonly wrong: readonly string[]
}

/**
 * Stops a process (SIGSTOP) for longer than its lease while it writes, has another take over, and lets the first one go
 * on, before, while or after the other writes. Every byte of the first is another than the image's: where one lands
 * after the other's it is seen.
 */
export async function stopWriters(round: StopRound): Promise<StopOutcome> {
  const { redis, fleet, random, writers, elsewhere } = round
  await using farm = await createFarm()
  const shared = { redis, leaseMs, jobs: writers }
  const namespace = [requireTool('unshare', 'util-linux'), '--pid', '--fork', '--mount-proc', '--kill-child']
  const first = await farm.start(
    { ...shared, host: 'first', spoils: true, slowMs: 20 },
    elsewhere ? namespace : [],
  )
  const image = await farm.addImage(16 * MiB)
  const volumes = Array.from({ length: writers }, (_, index) => path.join(farm.volumes, `volume-${index}`))
  const old = Buffer.alloc(12 * MiB, 7)
  for (const [index, volume] of volumes.entries()) if (index % 2 === 1) await writeFile(volume, old)
  const jobs = await Promise.all(
    volumes.map((volume) => fleet.submit({ type: 'fetch', imageId: image.id, volume })),
  )
  const begun = async (): Promise<number> =>
    new Set((await farm.journal()).flatMap(({ what, volume }) => (what === 'begin' ? [volume] : []))).size
  while ((await begun()) < writers) await delay(10)
  await delay(random() * 250)
  first.kill('SIGSTOP')
  const second = await farm.start({ ...shared, host: 'second' })
  const isDone = new AbortController()
  // As a supervisor does it: on a machine that is too busy it may be the one that overruns its lease.
  let supervised = second
  void (async () => {
    for (;;) {
      await supervised.ended
      if (isDone.signal.aborted) return
      supervised = await farm.start({ ...shared, host: 'second' })
    }
  })().catch(() => undefined)
  const done = Promise.all(jobs.map(({ id }) => fleet.wait(id)))
  // One that can't be seen has to go on before the other can begin.
  const afterMs = leaseMs * (0.7 + random() * 1.5)
  await (elsewhere ? delay(afterMs) : Promise.race([done, delay(afterMs)]))
  first.kill('SIGCONT')
  await done
  isDone.abort()
  await delay(100)
  const hashes = await Promise.all(volumes.map((volume) => sha256(volume)))
  // Where nobody had taken over by then, the first goes on to its end.
  const hosts = (await done).map(({ result }) => (result as { readonly host?: string } | undefined)?.host)
  const ended = await Promise.race([first.ended, delay(10)])
  first.kill('SIGKILL')
  supervised.kill('SIGKILL')
  await Promise.all([first.ended, supervised.ended])
  return {
    stopped: writers,
    ended,
    takenOver: hosts.filter((host) => host === 'second').length,
    wrong: volumes.filter(
      (_, index) => hashes[index] !== (hosts[index] === 'second' ? image.sha256 : image.spoiledSha256),
    ),
  }
}
