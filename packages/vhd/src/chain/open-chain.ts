import type { Disk } from '@disk-image/core'
import {
  type ChainDisk,
  type ChainRules,
  createChainDisk,
  diskOf,
  judgeChain,
  rawDisk,
  readVhdLayout,
} from '@disk-image/disk/vhd'
import { type OpenSource, openSource, type VhdSource } from '../files/vhd-file.ts'

/** A raw file that ends a chain. It is never guessed: who means raw says so. */
export interface RawSource {
  readonly source: VhdSource
  readonly format: 'raw'
}

/** One element of a chain. */
export type ChainSource = VhdSource | RawSource

/** A disk of a chain, with what it was opened from. */
export interface OpenDisk extends ChainDisk {
  readonly source: OpenSource
  close(): Promise<void>
}

/**
 * Opens one disk and judges it.
 *
 * @throws {VhdError} with the first violation that is fatal
 */
export async function openDisk(element: ChainSource, trustEndFooter = false): Promise<OpenDisk> {
  const isRaw = typeof element === 'object' && 'format' in element
  const source = await openSource(isRaw ? element.source : element)
  const close = (): Promise<void> => source.close()
  try {
    const disk = isRaw ? rawDisk(source) : diskOf(source, await readVhdLayout(source, trustEndFooter))
    return { ...disk, source, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The disks of a chain, leaf first; closing it closes what it opened. */
export interface OpenChain {
  readonly disks: readonly OpenDisk[]
  close(): Promise<void>
}

/**
 * Opens a chain, leaf first, and judges that its members belong together.
 *
 * @param complete whether the last one must be a disk without parent
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that is broken
 */
export async function openChain(
  elements: readonly ChainSource[],
  rules: ChainRules = {},
  complete = true,
): Promise<OpenChain> {
  const disks: OpenDisk[] = []
  const close = async (): Promise<void> => {
    await Promise.all(disks.map((disk) => disk.close()))
  }
  try {
    for (const [index, element] of elements.entries()) {
      disks.push(await openDisk(element, rules.trustEndFooter === true && index === elements.length - 1))
    }
    judgeChain(disks, rules, complete)
    return { disks, close }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * Opens a VHD, or a chain of them with the leaf first, as the one disk that it shows. Files that were given open stay
 * open.
 *
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that a disk or the chain breaks
 */
export async function openVhdChain(
  sources: ChainSource | readonly ChainSource[],
  rules: ChainRules = {},
): Promise<Disk> {
  const chain = await openChain(isList(sources) ? sources : [sources], rules)
  const disk = createChainDisk(chain.disks)
  const close = async (): Promise<void> => {
    await disk.close()
    await chain.close()
  }
  return { ...disk, close, [Symbol.asyncDispose]: close }
}

function isList(sources: ChainSource | readonly ChainSource[]): sources is readonly ChainSource[] {
  return Array.isArray(sources)
}
