import { constants } from 'node:fs'
import { copyFile as copyNatively } from 'node:fs/promises'
import { ImageError, InvalidError } from '@disk-image/core'
import { type ChainRules, VhdError } from '@disk-image/disk/vhd'
import { allocateBuffer } from '@disk-image/io'
import { openChain, type OpenChain, openDisk, type RawSource } from '../chain/open-chain.ts'
import { findParent } from '../chain/parents.ts'
import { replaceFile } from '../files/new-file.ts'
import {
  createTarget,
  type OpenSource,
  openTarget,
  type OpenTarget,
  writeWithHoles,
} from '../files/vhd-file.ts'
import { mergeInto } from './merge-into.ts'
import type { MergeOptions } from './work.ts'

/** Options of {@link coalesceChain} and {@link coalesceVhd}. */
export interface CoalesceOptions extends MergeOptions, ChainRules {
  /**
   * `in-place` writes into the base; a run that was cut off is completed by running it again. `copy` merges
   * into a copy that then takes the base's name: all or nothing, for chains that nobody vouches for.
   * @default 'in-place'
   */
  readonly mode?: 'in-place' | 'copy' | undefined
}

/** A file of a chain that is written: a VHD's path, or a raw file that is named as such. */
export type ChainFile = string | (RawSource & { readonly source: string })

/**
 * Merges a chain, leaf first and base last, into its base, in one pass whatever its length. Children are only
 * read. A base that is smaller than the leaf is grown, a larger one keeps its size.
 *
 * @returns the base's path; of a single disk its own, untouched
 * @throws {InvalidError} where the chain is empty
 * @throws {VhdError} with the broken rule; nothing was written then
 * @see cinder.image.image_utils.coalesce_chain
 */
export async function coalesceChain(
  vhdChain: readonly ChainFile[],
  options: CoalesceOptions = {},
): Promise<string> {
  return await coalesceFiles(vhdChain, options, true, openTarget)
}

/**
 * Merges one differencing disk into its parent, which is found by the disk's locators.
 *
 * @throws {VhdError} with the broken rule; nothing was written then
 * @see cinder.image.image_utils.coalesce_vhd
 */
export async function coalesceVhd(vhdPath: string, options: CoalesceOptions = {}): Promise<void> {
  options.signal?.throwIfAborted()
  const disk = await openDisk(vhdPath)
  let parent: string
  try {
    parent = await findParent(disk, vhdPath)
  } finally {
    await disk.close()
  }
  await coalesceFiles([vhdPath, parent], options, false, openTarget)
}

/** Both of the above; `complete` says whether the base may have no parent itself. */
export async function coalesceFiles(
  files: readonly ChainFile[],
  options: CoalesceOptions,
  complete: boolean,
  open: OpenTarget,
): Promise<string> {
  const last = files[files.length - 1]
  if (last === undefined) throw new InvalidError({ reason: 'a chain needs at least one disk' })
  options.signal?.throwIfAborted()
  const basePath = typeof last === 'string' ? last : last.source
  if (files.length === 1) return basePath
  // What a coalesce left that was killed is completed by another one.
  const chain = await openChain(files, { ...options, trustEndFooter: true }, complete)
  try {
    await coalesceOpened(chain, basePath, options, open)
  } finally {
    await chain.close()
  }
  return basePath
}

async function coalesceOpened(
  chain: OpenChain,
  basePath: string,
  options: CoalesceOptions,
  open: OpenTarget,
): Promise<void> {
  const base = chain.disks[chain.disks.length - 1]
  if (base === undefined) throw new RangeError('the chain lost its base')
  const merge = async (path: string): Promise<void> => {
    const target = await open(path)
    try {
      if (options.mode !== 'copy' && target.identity !== base.source.identity) {
        throw new VhdError({ path, rule: 'changed', reason: 'another file took its place meanwhile' })
      }
      await mergeInto(chain.disks.slice(0, -1), base, target, options)
    } finally {
      await target.close()
    }
  }
  if (options.mode !== 'copy') {
    await merge(basePath)
    return
  }
  await replaceFile(basePath, async (copy) => {
    await copyFile(base.source, copy, options.signal)
    await merge(copy)
  })
}

/** Copies an open file to a new one: by reference where the file system can, else with holes for zeros. */
async function copyFile(source: OpenSource, path: string, signal?: AbortSignal): Promise<void> {
  if (source.heldPath !== undefined && (await cloneFile(source.heldPath, path))) return
  const target = await createTarget(path)
  try {
    const buffer = allocateBuffer(1024 ** 2)
    for (let offset = 0; offset < source.size; offset += buffer.length) {
      signal?.throwIfAborted()
      const part = buffer.subarray(0, Math.min(buffer.length, source.size - offset))
      await source.read(part, offset)
      await writeWithHoles(target, part, offset)
    }
    await target.truncate(source.size)
    await target.sync()
  } finally {
    await target.close()
  }
}

async function cloneFile(source: string, path: string): Promise<boolean> {
  try {
    await copyNatively(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (error) {
    if (ImageError.is(error) || (error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    return false
  }
}
