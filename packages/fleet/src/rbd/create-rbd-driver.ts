import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidError, MiB, ProcessExecutionError } from '@disk-image/core'
import type { ProcessRunner } from '@disk-image/core'
import type { RbdName } from '../jobs/identity.ts'
import type { DriverCall, VolumeDriver } from '../volumes/volume-driver.ts'
import { ImportTarget } from './import-target.ts'
import { partialOf, RbdCommands } from './rbd-commands.ts'
import type { Part, RbdAccess } from './rbd-commands.ts'

/** Where signatures of disks are, and a little more. */
const headBytes = 4 * MiB + 64 * 1024

/** rbd's exit code where there is no such volume: ENOENT. */
const noSuchVolume = 2
/** And where somebody still has it open, or was killed having it open: EBUSY. */
const stillWatched = 16
/** For how long a killed client counts as one that is there, and a little more. */
const watchMs = 45_000

/**
 * Volumes in Ceph, by `rbd` and qemu's rbd driver (Debian: ceph-common, qemu-block-extra).
 *
 * A volume that isn't there yet is imported under another name, and gets its own when it is whole. One that is there
 * is overwritten, and must be large enough.
 *
 * @throws {InvalidError} for an access that can't be
 */
export function createRbdDriver(
  dependencies: { readonly runner: ProcessRunner },
  access: RbdAccess = {},
): VolumeDriver {
  const { runner } = dependencies
  const commands = new RbdCommands(access)

  async function sizeOf(name: RbdName, { signal }: DriverCall): Promise<number | undefined> {
    try {
      const { stdout } = await runner.run(commands.info(name), { signal, maxOutputBytes: 1024 * 1024 })
      const { size } = JSON.parse(stdout) as { readonly size?: unknown }
      return typeof size === 'number' ? size : 0
    } catch (error) {
      if (error instanceof ProcessExecutionError && error.exitCode === noSuchVolume) return undefined
      throw error
    }
  }

  /** What a killed worker left is nobody's: the lease is ours. */
  async function removePartial(name: RbdName, { signal }: DriverCall): Promise<void> {
    const partial = partialOf(name)
    if ((await sizeOf(partial, { signal })) === undefined) return
    const untilMs = performance.now() + watchMs
    for (;;) {
      try {
        await runner.run(commands.remove(partial), { signal })
        return
      } catch (error) {
        const watched = error instanceof ProcessExecutionError && error.exitCode === stillWatched
        if (!watched || performance.now() > untilMs) throw error
        await delay(2000, undefined, { signal })
      }
    }
  }

  async function importNew(file: string, name: RbdName, { signal }: DriverCall): Promise<void> {
    const partial = partialOf(name)
    await removePartial(name, { signal })
    try {
      await runner.run(commands.import(file, partial), { signal })
      await runner.run(commands.rename(partial, name), { signal })
    } catch (error) {
      await runner.run(commands.remove(partial), { timeoutMs: 30_000 }).catch(() => undefined)
      throw error
    }
  }

  return {
    write: async (file, volume, call) => {
      const name = commands.nameOf(volume)
      const [{ size }, there] = await Promise.all([stat(file), sizeOf(name, call)])
      if (there === undefined) return importNew(file, name, call)
      if (there < size) {
        throw new InvalidError({
          reason: `The volume ${volume} has ${there} bytes, and the disk needs ${size}.`,
        })
      }
      for (const { from, part } of overwriting(file, size, there)) {
        if (part.length > 0) await runner.run(commands.overwrite(from, name, part), { signal: call.signal })
      }
    },
    openNew: async (volume, call) => {
      const name = commands.nameOf(volume)
      if ((await sizeOf(name, call)) !== undefined) return undefined
      await removePartial(name, call)
      return new ImportTarget(runner, commands, name, call)
    },
    read: async (volume, file, { signal }) => {
      await runner.run(commands.read(commands.nameOf(volume), file), { signal })
    },
  }
}

/**
 * What is written in which order: both ends are zeroed first, and written last, so that what a killed worker leaves is
 * nothing that can be taken for a disk.
 */
function overwriting(
  file: string,
  fileBytes: number,
  volumeBytes: number,
): readonly { readonly from: string | undefined; readonly part: Part }[] {
  const end = Math.ceil(fileBytes / 512) * 512
  const whole = volumeBytes - (volumeBytes % 512)
  const headEnd = Math.min(headBytes, whole)
  const tailStart = Math.max(headEnd, whole - MiB)
  const part = (start: number, stop: number): Part => ({ offset: start, length: Math.max(0, stop - start) })
  return [
    { from: undefined, part: part(0, headEnd) },
    { from: undefined, part: part(tailStart, whole) },
    { from: file, part: part(headEnd, Math.min(end, tailStart)) },
    { from: file, part: part(tailStart, Math.min(end, whole)) },
    { from: file, part: part(0, Math.min(end, headEnd)) },
  ]
}
