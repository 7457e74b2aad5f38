import path from 'node:path'
import type { Arena } from './arena.ts'
import { cinder, download, floor, ours, oursUnsynced, syncedFloor, type Contestant } from './job.ts'
import type { MeasuredRun } from './measure.ts'

const driver = path.join(import.meta.dirname, 'peers/cinder_driver.py')

/** A pipeline in which any part may fail. */
function shell(script: string): readonly string[] {
  return ['bash', '-euo', 'pipefail', '-c', script]
}

/** The last line of what a command printed, as JSON. */
function lastLine(run: MeasuredRun): unknown {
  return JSON.parse(run.stdout.trimEnd().split('\n').at(-1) ?? '')
}

/** What our command says of the call that it made. */
export interface CallReport {
  readonly seconds: { readonly total: number }
}

/** Our fetch. It counts only where it says itself that the hash was compared. */
export function oursFetch(arena: Arena, file: string, destination: string): Contestant {
  return {
    name: ours,
    description: 'disk-image fetch',
    environment: { TMPDIR: arena.folder },
    command: () => [
      ...arena.command,
      'fetch',
      arena.idOf(file),
      destination,
      '--glance',
      arena.url,
      '--json',
    ],
    read: (run) => {
      const report = JSON.parse(run.stdout) as CallReport & { hash?: { verified?: boolean } }
      if (report.hash?.verified !== true) throw new Error(`the hash was not verified: ${run.stdout}`)
      return report.seconds.total
    },
  }
}

/** The same, which leaves it to the operating system when the disk gets it: no more than the script does. */
export function oursUnsyncedFetch(arena: Arena, file: string, destination: string): Contestant {
  const fetch = oursFetch(arena, file, destination)
  return {
    ...fetch,
    name: oursUnsynced,
    description: `${fetch.description} --no-sync`,
    command: () => [...fetch.command(), '--no-sync'],
  }
}

/** The original. It verifies inside its client library, and says how long the call took without Python's start. */
export function cinderFetch(arena: Arena, file: string, destination: string): Contestant {
  return cinderCall(arena, () => ['fetch_to_raw', arena.url, arena.idOf(file), destination, arena.folder])
}

/** The original on any operation of the driver. With 10 GiB a run of it takes minutes. */
export function cinderCall(arena: Arena, args: () => readonly string[]): Contestant {
  return {
    mostRuns: arena.images.sizeGiB >= 10 ? 2 : undefined,
    name: cinder,
    description: 'cinder.image.image_utils',
    command: () => ['/usr/bin/python3', driver, ...args()],
    read: (run) => (lastLine(run) as { seconds: number }).seconds,
  }
}

const hashLine = /([0-9a-f]{128})/

/** Compares what openssl printed with what it must be. */
function readHash(expected: string): NonNullable<Contestant['read']> {
  return (run) => {
    const [, found] = hashLine.exec(run.stdout) ?? []
    if (found !== expected) throw new Error(`wrong hash: ${run.stdout}`)
    return undefined
  }
}

const urlOf = (arena: Arena, file: string): string => `${arena.url}/v2/images/${arena.idOf(file)}/file`

/** The least that any fetch takes from this service: nobody hashes, decodes or writes. For information only. */
export function downloadAlone(arena: Arena, file: string): Contestant {
  return {
    name: download,
    description: 'curl -o /dev/null',
    mostRuns: 3,
    bringsNothing: true,
    command: () => ['curl', '-sSf', '-o', '/dev/null', urlOf(arena, file)],
  }
}

/** The least that a verified download of a raw image is. */
export function floorRaw(arena: Arena, file: string, destination: string): Contestant {
  const url = urlOf(arena, file)
  return {
    name: floor,
    description: 'curl | tee | openssl',
    command: () => shell(`curl -sSf '${url}' | tee '${destination}' | openssl dgst -sha512`),
    read: readHash(arena.sha512Of(file)),
  }
}

/** Download, hash and convert, one after the other. */
export function floorConvert(arena: Arena, file: string, destination: string): Contestant {
  const url = urlOf(arena, file)
  const temporary = path.join(arena.folder, 'floor.tmp')
  return {
    name: floor,
    description: 'curl; openssl; qemu-img',
    command: () =>
      shell(
        `curl -sSf -o '${temporary}' '${url}'; openssl dgst -sha512 '${temporary}'; ` +
          `qemu-img convert -f qcow2 -O raw '${temporary}' '${destination}'; rm '${temporary}'`,
      ),
    read: readHash(arena.sha512Of(file)),
  }
}

/**
 * A script of the floor that then waits until the destination is on the disk. Of a loop device `sync` writes the
 * file behind it too; `blockdev --flushbufs` leaves that in the page cache.
 */
export function thenSync(script: Contestant, destination: string): Contestant {
  return {
    ...script,
    name: syncedFloor,
    description: `${script.description}; sync`,
    command: () => {
      const words = script.command()
      return [...words.slice(0, -1), `${words.at(-1)}; sync '${destination}'`]
    },
  }
}
