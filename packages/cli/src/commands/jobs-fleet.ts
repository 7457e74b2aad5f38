import type { Command } from 'commander'
import type * as FleetPackage from '@disk-image/fleet'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'

/** Options of every command that speaks to the fleet. */
export interface FleetFlags {
  readonly redis?: string
  readonly prefix?: string
}

/** Adds them. */
export function withFleetOptions(command: Command): Command {
  return command
    .option('--redis <url>', 'where the queue is; better DISK_IMAGE_REDIS, which no list of processes shows')
    .option('--prefix <name>', "of every key in Redis (default: 'disk-image')")
}

/** The package that knows the queue: who works alone doesn't need it. */
export async function loadFleet(): Promise<typeof FleetPackage> {
  try {
    return await import('@disk-image/fleet')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('@disk-image/fleet')) throw cause
    throw new UsageError(
      'This command needs the package @disk-image/fleet. Install it with: npm install --global @disk-image/fleet',
      { cause },
    )
  }
}

/** Where Redis is: the option, or the environment. */
export function redisOf(session: Session, flags: FleetFlags): string {
  const url = flags.redis ?? session.io.environment['DISK_IMAGE_REDIS'] ?? ''
  if (url === '') {
    throw new UsageError(
      'Say where the queue is: --redis redis://HOST:6379, or set DISK_IMAGE_REDIS to that.',
    )
  }
  return url
}

/** Runs something with the fleet, which is closed afterwards. A Redis that doesn't answer is told at once. */
export async function withFleet<Result>(
  session: Session,
  flags: FleetFlags,
  use: (fleet: FleetPackage.Fleet) => Promise<Result>,
): Promise<Result> {
  const { createFleet } = await loadFleet()
  const fleet = createFleet({ connection: redisOf(session, flags), prefix: flags.prefix })
  try {
    await fleet.check()
    return await use(fleet)
  } finally {
    await fleet.close()
  }
}
