import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { InvalidError } from '@disk-image/core'

/** Who made a temporary file. */
export interface TemporaryOwner {
  readonly hostTag: string
  readonly processId: number
  /** The process's start in clock ticks, 0 where unknown. */
  readonly startTicks: number
}

const mark = /disk-image-([0-9a-f]{6})-(\d{1,10})-([0-9a-z]{1,11})-[0-9a-f]{16}/

/**
 * A new name: `PREFIX` `disk-image-HOST-PID-START-RANDOM` `SUFFIX`, where HOST is a hash of the host's name,
 * PID and START (base 36) name the process, and RANDOM is 64 random bits. {@link parseTemporaryName} reads it.
 *
 * @throws {InvalidError} where prefix or suffix would lead out of the directory, or make the name too long
 */
export function temporaryName(owner: TemporaryOwner, prefix: string, suffix: string): string {
  for (const [what, part] of Object.entries({ prefix, suffix })) {
    if (/[/\0]/.test(part)) {
      throw new InvalidError({ reason: `A temporary file's ${what} must have no '/' in it: '${part}'` })
    }
  }
  const maker = `${owner.hostTag}-${owner.processId}-${owner.startTicks.toString(36)}`
  const name = `${prefix}disk-image-${maker}-${randomHex()}${suffix}`
  if (Buffer.byteLength(name) > 255) {
    throw new InvalidError({
      reason: `A temporary file's prefix and suffix are too long: '${prefix}', '${suffix}'`,
    })
  }
  return name
}

/**
 * The owner that a name tells of, or undefined for a name that is none of ours.
 *
 * @param prefix what has to be before that; anything where it isn't given
 */
export function parseTemporaryName(name: string, prefix?: string): TemporaryOwner | undefined {
  const found = mark.exec(name)
  const [, hostTag, processId, start] = found ?? []
  if (hostTag === undefined || processId === undefined || start === undefined) return undefined
  if (prefix !== undefined && name.slice(0, found?.index) !== prefix) return undefined
  return { hostTag, processId: Number(processId), startTicks: Number.parseInt(start, 36) }
}

/** Whether a name is one that this library makes up: nobody else may name it. */
export function isTemporaryName(name: string): boolean {
  return parseTemporaryName(name) !== undefined
}

/**
 * 64 random bits as 16 hexadecimal digits, from the kernel. `node:crypto` has them too, but takes 4 ms to load, and up
 * to 20 where something else keeps the processors busy.
 *
 * @see random(4), /proc/sys/kernel/random/uuid
 */
export function randomHex(): string {
  try {
    const digits = readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim().replaceAll('-', '')
    // Some in the middle tell the kind of UUID, and are always the same.
    if (/^[0-9a-f]{32}$/.test(digits)) return digits.slice(0, 8) + digits.slice(-8)
  } catch {
    // No /proc here.
  }
  return process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
}

/**
 * When a process started, in the kernel's clock ticks since boot: with the process id it names one process
 * for good, where the id alone is given out again. Undefined where there is no such process, or no `/proc`.
 *
 * @see proc_pid_stat(5), field 22
 */
export function startTicks(processId: number): number | undefined {
  try {
    // No disk is behind it: to wait for it would take longer than to read it.
    const text = readFileSync(`/proc/${processId}/stat`, 'latin1')
    // The second field is the program's name in brackets and may itself hold brackets and spaces.
    const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19])
    return Number.isSafeInteger(ticks) ? ticks : undefined
  } catch {
    return undefined
  }
}

/**
 * Six characters for this host: on a shared folder, process ids of another one mean nothing here. FNV-1a, since it
 * keeps no secret, and `node:crypto` takes 4 ms to load.
 */
export function hostTag(): string {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(hostname())) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0').slice(2)
}

/** Whether the process that is meant still runs. */
export function isAlive(processId: number, started: number): boolean {
  const ticks = startTicks(processId)
  if (ticks !== undefined) return started === 0 || ticks === started
  try {
    process.kill(processId, 0)
    // It runs, but can't be told from another one with its id: nothing of it is touched.
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
