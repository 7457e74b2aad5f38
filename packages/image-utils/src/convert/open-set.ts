import path from 'node:path'
import { type Disk, InvalidError, type RandomAccessReader } from '@disk-image/core'
import { openVmdkSet } from '@disk-image/disk'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { type HeldFile, holdFile, renameInError } from '@disk-image/host'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { openFileReader, checkUnchanged } from '../files/file-reader.ts'
import { checkContent } from '../judge/judge.ts'

/** A VMDK descriptor, and the files that were given with it. */
export interface VmdkSet {
  readonly imageId: string
  readonly reader: RandomAccessReader
  readonly inspection: InspectionResult
  /** Paths. What the descriptor names is looked for among these, by their last part. */
  readonly siblings: readonly string[]
}

/** The disk of a set. */
export interface OpenedSet {
  readonly disk: Disk
  /** @throws {ImageUnacceptableError} where a file was changed since it was opened */
  readonly confirm: () => Promise<void>
}

/** What is wrong with a descriptor alone: its data is in other files. Here they are given. */
const answered: ReadonlySet<string> = new Set(['extents', 'create-type'])

/**
 * Opens a VMDK in several files, each held under its name before it is read.
 *
 * @throws {ImageUnacceptableError} where the descriptor has more against it than that it is one
 * @throws {InvalidError} where two files have one name
 */
export async function openSet(
  services: Services,
  { imageId, reader, inspection, siblings }: VmdkSet,
  cleanup: Cleanup,
): Promise<OpenedSet> {
  const { createType } = inspection.details
  const policy = services.policy.with({ vmdkAllowedTypes: createType === undefined ? [] : [createType] })
  const checks = inspection.checks.filter(({ name }) => !answered.has(name))
  checkContent({ ...services, policy }, imageId, {
    claimedFormat: 'vmdk',
    inspection: { ...inspection, checks },
    hasPassphrase: false,
  })
  const files = new Map<string, RandomAccessReader>()
  const held: (readonly [file: HeldFile, stamp: string])[] = []
  for (const sibling of siblings) {
    const name = path.basename(sibling)
    if (files.has(name)) throw new InvalidError({ reason: `Two files are called ${name}.` })
    const file = await holdFile(sibling)
    cleanup.always(() => file[Symbol.asyncDispose]())
    held.push([file, await file.stamp()])
    const opened = await openFileReader(file.path)
    cleanup.always(() => opened.close())
    files.set(name, opened)
  }
  return {
    disk: await openVmdkSet(reader, files),
    confirm: async () => {
      for (const [file, stamp] of held) {
        try {
          await checkUnchanged(file, stamp, imageId)
        } catch (error) {
          renameInError(error, file)
          throw error
        }
      }
    },
  }
}
