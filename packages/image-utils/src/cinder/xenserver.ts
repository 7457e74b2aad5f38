import { constants } from 'node:fs'
import { copyFile, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { type CallOptions, ImageUnacceptableError } from '@disk-image/core'
import { newTemporaryName } from '@disk-image/host'
import { coalesceChain, discoverVhdChain, extractXenserverArchive, fixVhdChain } from '@disk-image/vhd'
import type { Services } from '../services/services.ts'
import { withSpace } from '../judge/space.ts'

/**
 * Unpacks a XenServer image: only its `N.vhd` files leave the archive, and only into the target.
 *
 * @see cinder.image.image_utils.extract_targz
 */
export async function extractTargz(
  archiveName: string,
  target: string,
  options: CallOptions = {},
): Promise<void> {
  await withSpace({ path: path.join(target, '0.vhd'), imageId: path.basename(archiveName) }, () =>
    extractXenserverArchive(archiveName, target, options),
  )
}

/**
 * Replaces a XenServer archive by the one VHD that its chain comes to. The archive stays as it is until that
 * VHD is complete and on the disk.
 *
 * @throws {ImageUnacceptableError} for an archive without a chain
 * @see cinder.image.image_utils.replace_xenserver_image_with_coalesced_vhd
 */
export async function replaceXenserverImageWithCoalescedVhd(
  services: Services,
  imageFile: string,
  options: CallOptions = {},
): Promise<void> {
  // Beside the archive, so that the last step is a rename within one file system.
  const folder = await services.temporaryFiles.temporaryDirectory({ prefix: 'vhd_' })
  const imageId = path.basename(imageFile)
  try {
    await withSpace({ path: path.join(folder.path, '0.vhd'), imageId }, async () => {
      await extractXenserverArchive(imageFile, folder.path, options)
      const chain = await discoverVhdChain(folder.path)
      if (chain.length === 0) {
        throw new ImageUnacceptableError({
          imageId,
          reason: 'The archive holds no 0.vhd, so there is no chain of VHDs in it.',
          rule: 'xenserver-chain',
        })
      }
      await fixVhdChain(chain)
      const coalesced = await coalesceChain(chain, options)
      await withSpace({ path: imageFile, imageId }, () => replace(coalesced, imageFile))
    })
  } finally {
    await folder[Symbol.asyncDispose]()
  }
}

async function replace(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EXDEV')) throw error
    await copyAcross(from, to)
  }
  await sync(path.dirname(to))
}

/** Another file system: copied beside the target first, so that the target changes in one step there too. */
async function copyAcross(from: string, to: string): Promise<void> {
  const name = newTemporaryName({ prefix: '.vhd_', suffix: '.partial' })
  const beside = path.join(path.dirname(to), name)
  try {
    await copyFile(from, beside, constants.COPYFILE_EXCL)
    await sync(beside)
    await rename(beside, to)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}

/** Has a file's bytes, or a folder's names, on the disk. */
async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
