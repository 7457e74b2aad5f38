import { realpath } from 'node:fs/promises'
import { basename, dirname, relative } from 'node:path'
import {
  type DynamicLayout,
  diskOf,
  encodeLocatorPath,
  epochSeconds,
  footerBytes,
  headerBytes,
  type LocatorEntry,
  parseUuid,
  readBytes,
  readVhdLayout,
  roundUp,
  sealHeader,
  sectorBytes,
  VhdError,
  viewOf,
  writeLocatorEntry,
  writeParentName,
  zeroUuid,
} from '@disk-image/disk/vhd'
import { openDisk, type OpenDisk } from '../chain/open-chain.ts'
import { type FileTarget, type OpenSource, openSource, openTarget } from '../files/vhd-file.ts'
import { extendFile } from '../merge/grow.ts'

/** Options of {@link setVhdParent} and {@link fixVhdChain}. */
export interface SetParentOptions {
  /** What the parent is. A raw disk is never guessed: who means one says so. @default 'vhd' */
  readonly parentFormat?: 'vhd' | 'raw' | undefined
  readonly signal?: AbortSignal | undefined
}

const platforms = ['MacX', 'W2ku', 'W2ru'] as const

/**
 * Writes into a differencing disk who its parent is: uuid, time stamp, name, and the relative path in all
 * locators. Locators that are missing or too small are added. A disk that is refused because a power cut left half of
 * its header is completed by the same run.
 *
 * @throws {VhdError} rules `not-differencing`, `zero-uuid`, `chain-loop`, or what is wrong with either file
 * @see cinder.image.image_utils.set_vhd_parent
 */
export async function setVhdParent(
  vhdPath: string,
  parentPath: string,
  { parentFormat = 'vhd', signal }: SetParentOptions = {},
): Promise<void> {
  signal?.throwIfAborted()
  const parent = await openDisk(parentFormat === 'raw' ? { source: parentPath, format: 'raw' } : parentPath)
  try {
    const { child, torn } = await openChild(vhdPath)
    try {
      await writeParent(child, parent, vhdPath, parentPath, torn)
    } finally {
      await child.close()
    }
  } finally {
    await parent.close()
  }
}

/** A disk, and its header where that has a wrong checksum: of its two sectors a power cut may have kept one. */
async function openChild(
  vhdPath: string,
): Promise<{ readonly child: OpenDisk; readonly torn?: Uint8Array | undefined }> {
  try {
    return { child: await openDisk(vhdPath) }
  } catch (error) {
    if (!(error instanceof VhdError) || error.rule !== 'header-checksum') throw error
    const source = await openSource(vhdPath)
    try {
      const start = Number(viewOf(await readBytes(source, 0, footerBytes)).getBigUint64(16))
      const torn = await readBytes(source, start, headerBytes)
      const whole = sealHeader(Uint8Array.from(torn))
      const read: OpenSource['read'] = async (target, offset) => {
        await source.read(target, offset)
        const from = Math.max(offset, start)
        const end = Math.min(offset + target.length, start + headerBytes)
        if (from < end) target.set(whole.subarray(from - start, end - start), from - offset)
      }
      const mended = { ...source, read }
      const disk = diskOf(mended, await readVhdLayout(mended))
      return { child: { ...disk, source: mended, close: () => source.close() }, torn }
    } catch {
      await source.close()
      throw error
    }
  }
}

/**
 * Makes every disk of a chain, leaf first, the child of the one behind it.
 *
 * @throws {VhdError} as {@link setVhdParent}
 * @see cinder.image.image_utils.fix_vhd_chain
 */
export async function fixVhdChain(
  vhdChain: readonly string[],
  { signal }: Pick<SetParentOptions, 'signal'> = {},
): Promise<void> {
  for (const [index, child] of vhdChain.entries()) {
    const parent = vhdChain[index + 1]
    if (parent !== undefined) await setVhdParent(child, parent, { signal })
  }
}

async function writeParent(
  child: OpenDisk,
  parent: OpenDisk,
  vhdPath: string,
  parentPath: string,
  torn: Uint8Array | undefined,
): Promise<void> {
  const dynamic = child.layout?.dynamic
  if (dynamic === undefined || child.type !== 'differencing') {
    const reason = 'only a differencing disk can have a parent'
    throw new VhdError({ path: vhdPath, rule: 'not-differencing', reason, found: child.type, offset: 60 })
  }
  if (child.source.identity === parent.source.identity) {
    throw new VhdError({ path: vhdPath, rule: 'chain-loop', reason: 'a disk cannot be its own parent' })
  }
  const uuid = parent.layout?.found.footer.uniqueId ?? zeroUuid
  if (parent.type !== 'raw' && uuid === zeroUuid) {
    const reason = 'a parent needs a uuid: without one it is taken for a raw disk'
    throw new VhdError({ path: parentPath, rule: 'zero-uuid', reason, offset: 68 })
  }
  const seconds = Math.floor((parent.source.modifiedMs ?? 0) / 1000) - epochSeconds
  const target = await openTarget(vhdPath)
  try {
    await writeParentFields(target, {
      dynamic,
      torn,
      footer: child.layout?.found.bytes as Uint8Array,
      uuid,
      timestamp: Math.min(Math.max(seconds, 0), 0xff_ff_ff_ff),
      name: basename(parentPath),
      relativePath: relative(dirname(await realpath(vhdPath)), await realpath(parentPath)),
    })
  } finally {
    await target.close()
  }
}

interface ParentFields {
  readonly dynamic: DynamicLayout
  /** The header as it is, where only half of this very change is there. */
  readonly torn: Uint8Array | undefined
  readonly footer: Uint8Array
  readonly uuid: string
  readonly timestamp: number
  readonly name: string
  readonly relativePath: string
}

/** Writes the locators' texts, and when they are on the disk the header that points to them. */
async function writeParentFields(target: FileTarget, parent: ParentFields): Promise<void> {
  const { dynamic } = parent
  const header = Uint8Array.from(dynamic.headerBytes)
  header.set(parseUuid(parent.uuid), 40)
  viewOf(header).setUint32(56, parent.timestamp)
  writeParentName(header, parent.name)
  const free = [0, 1, 2, 3, 4, 5, 6, 7].filter(
    (index) => !dynamic.header.locators.some((used) => used.index === index),
  )
  let end = roundUp(dynamic.endOfData, sectorBytes)
  const texts: { readonly text: Uint8Array; readonly offset: number }[] = []
  for (const platform of platforms) {
    const text = encodeLocatorPath(platform, parent.relativePath)
    const olds = dynamic.header.locators.filter((locator) => locator.platform === platform)
    const entries: (LocatorEntry | undefined)[] = olds.length > 0 ? olds : [undefined]
    for (const old of entries) {
      const index = old?.index ?? free.shift()
      // All eight in use for other platforms: the remaining texts say the same.
      if (index === undefined) continue
      const reuse = old !== undefined && isReusable(dynamic, old, text.length, target.size)
      const spaceBytes = reuse ? old.spaceBytes : roundUp(text.length, sectorBytes)
      const offset = reuse ? old.offset : end
      if (!reuse) end += spaceBytes
      texts.push({ text: padded(text, reuse ? text.length : spaceBytes), offset })
      writeLocatorEntry(header, { index, platform, spaceBytes, lengthBytes: text.length, offset })
    }
  }
  if (parent.torn !== undefined && !isFirstHalf(parent.torn, header)) {
    const reason = 'its header has a wrong checksum, and is no half of the one that is to be written'
    throw new VhdError({ path: target.path, rule: 'header-checksum', reason, offset: dynamic.headerOffset })
  }
  const sealed = sealHeader(header)
  await extendFile(target, parent.footer, end + footerBytes)
  for (const { text, offset } of texts) await target.write(text, offset)
  await target.sync()
  // The sector with the checksum comes first: by that another run tells half of a header from one that is damaged.
  for (const start of [0, sectorBytes]) {
    await target.write(sealed.subarray(start, start + sectorBytes), dynamic.headerOffset + start)
    await target.sync()
  }
}

/** Whether a header begins as another does, which may have been written at another time. */
function isFirstHalf(torn: Uint8Array, header: Uint8Array): boolean {
  const whole = Uint8Array.from(header)
  whole.set(torn.subarray(56, 60), 56)
  return Buffer.compare(torn.subarray(0, sectorBytes), sealHeader(whole).subarray(0, sectorBytes)) === 0
}

function padded(text: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(text)
  return bytes
}

/** Whether a locator's place can be written without touching anything else. */
function isReusable(dynamic: DynamicLayout, old: LocatorEntry, length: number, fileBytes: number): boolean {
  return (
    old.lengthBytes > 0 &&
    old.lengthBytes <= old.spaceBytes &&
    old.spaceBytes <= 65_536 &&
    length <= old.spaceBytes &&
    old.offset + old.spaceBytes <= fileBytes - footerBytes &&
    !dynamic.overlapped.has(`locator ${old.index}`)
  )
}
