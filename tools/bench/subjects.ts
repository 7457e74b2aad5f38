import { requireTool } from '@disk-image/testing'
import { execaSync } from 'execa'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { repository, type Fixture, type Service } from './fixture.ts'
import { ours, script, type Subject } from './run-job.ts'

/** Told not to wait for the disk: what it may be compared with does not wait either. */
export const oursUnsynced = 'ours, unsynced'
/** The script, which then waits until the result is on the disk, as ours does. */
export const scriptSynced = 'script, synced'
/** The original, of OpenStack. */
export const cinder = 'cinder'

const program = path.join(repository, 'packages/cli/bin/disk-image.js')
/** The words before a command line of ours. */
export const command: readonly [string, ...string[]] = [process.execPath, program]

/** @throws where a tool is missing without which nothing can be measured */
export function requireTools(): void {
  for (const tool of ['curl', 'openssl', 'nginx', 'qemu-img', 'mke2fs', 'python3']) requireTool(tool)
  requireTool('cmp', 'diffutils')
  if (!existsSync(path.join(repository, 'packages/cli/dist/main.js')))
    throw new Error('not built: pnpm build')
}

function parse(stdout: string): { durationSeconds: { total: number }; hash?: { verified?: boolean } } {
  return JSON.parse(stdout) as ReturnType<typeof parse>
}

/** Our fetch. It counts only where it says itself that the hash was compared. */
export function oursFetch(service: Service, file: string, destination: string, ...more: string[]): Subject {
  return {
    name: ours,
    command: () => [
      ...command,
      'fetch',
      '--force',
      service.idOf(file),
      destination,
      '--glance',
      service.url,
      '--json',
      ...more,
    ],
    read: (stdout) => {
      const { hash, durationSeconds: seconds } = parse(stdout)
      if (hash?.verified !== true) throw new Error(`the hash was not verified: ${stdout}`)
      return seconds.total
    },
  }
}

/** Our upload of a raw volume, as it is. */
export function oursUpload(
  service: Service,
  id: () => string,
  volume: string,
  verify: 'strict' | 'none',
): Subject {
  const words = ['--disk-format', 'raw', '--verify', verify, '--json']
  return {
    name: ours,
    command: () => [...command, 'upload', volume, '--glance', service.url, '--image', id(), ...words],
    read: (stdout) => parse(stdout).durationSeconds.total,
  }
}

/** The original. It verifies inside its client library, and says how long the call took without Python's start. */
export function cinderCall(fixture: Fixture, args: () => readonly string[]): Subject {
  const installed = !execaSync('/usr/bin/python3', ['-c', 'import cinder'], { reject: false }).failed
  const driver = path.join(import.meta.dirname, 'cinder_driver.py')
  return {
    name: cinder,
    absent: installed
      ? undefined
      : 'not installed: apt-get install -y --no-install-recommends python3-cinder',
    // With 10 GiB a run of it takes minutes.
    mostRuns: fixture.images.sizeGiB >= 10 ? 2 : undefined,
    command: () => ['/usr/bin/python3', driver, ...args(), fixture.folder],
    read: (stdout) => (JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as { seconds: number }).seconds,
  }
}

/** The least that a verified download is, as a script: with a conversion behind it where the image is a qcow2. */
export function scriptFetch(fixture: Fixture, service: Service, file: string, destination: string): Subject {
  const url = `${service.url}/v2/images/${service.idOf(file)}/file`
  const temporary = path.join(fixture.folder, 'script.tmp')
  const steps =
    file === fixture.images.raw
      ? `curl -sSf '${url}' | tee '${destination}' | openssl dgst -sha512`
      : `curl -sSf -o '${temporary}' '${url}'; openssl dgst -sha512 '${temporary}'; ` +
        `qemu-img convert -f qcow2 -O raw '${temporary}' '${destination}'; rm '${temporary}'`
  return {
    name: script,
    command: () => ['bash', '-euo', 'pipefail', '-c', steps],
    read: (stdout) => {
      if (!stdout.includes(fixture.sha512Of(file))) throw new Error(`wrong hash: ${stdout}`)
      return undefined
    },
  }
}

/** The script that then waits for the disk. Of a loop device `sync` writes the file behind it, too. */
export function synced(subject: Subject, destination: string): Subject {
  const words = subject.command()
  return {
    ...subject,
    name: scriptSynced,
    command: () => [...words.slice(0, -1), `${words.at(-1)}; sync '${destination}'`],
  }
}
