import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type FooterFields, footerBytes, isUsable, parseVhdFooter } from '@disk-image/disk/vhd'
import { XenserverArchiveError } from '../errors.ts'
import { giveName, isThere, syncFolderOf, temporaryPathOf } from '../files/new-file.ts'
import { createTarget, type FileTarget, writeWithHoles } from '../files/vhd-file.ts'
import { largestFile, type ResolvedLimits } from './limits.ts'
import type { ArchiveMember, DiskSink } from './read-archive.ts'

/**
 * Writes one member after the other into a folder, under temporary names until all of them are judged, and takes all of
 * them back when asked to.
 */
export class MemberWriter {
  readonly #directory: string
  readonly #limits: ResolvedLimits
  readonly #durable: boolean
  readonly #temporary = new Map<string, string>()
  readonly #named: string[] = []
  #current: FileTarget | undefined

  constructor(directory: string, limits: ResolvedLimits, durable: boolean) {
    this.#directory = directory
    this.#limits = limits
    this.#durable = durable
  }

  /** @throws {XenserverArchiveError} rule `target-exists` */
  async open(member: ArchiveMember): Promise<DiskSink> {
    const { name } = member
    const path = join(this.#directory, name)
    if (await isThere(path)) throw existsError(name)
    const temporary = temporaryPathOf(path)
    const target = await createTarget(temporary)
    this.#temporary.set(name, temporary)
    this.#current = target
    let written = 0
    let head: Uint8Array = new Uint8Array()
    return {
      write: async (bytes) => {
        if (head.length < footerBytes) {
          head = Buffer.concat([head, bytes.subarray(0, footerBytes - head.length)])
          if (head.length === footerBytes) judgeMemberHead(member, parseVhdFooter(head), this.#limits)
        }
        await writeWithHoles(target, bytes, written)
        written += bytes.length
      },
      end: async () => {
        this.#current = undefined
        await target.truncate(written)
        if (this.#durable) await target.sync()
        await target.close()
      },
    }
  }

  /** Where a member is until it has its name. */
  temporaryPathOf(name: string): string {
    return this.#temporary.get(name) ?? join(this.#directory, name)
  }

  /**
   * Gives the members their names, the leaf last: without it there is no chain.
   *
   * @param names leaf first
   * @throws {XenserverArchiveError} rule `target-exists`
   */
  async nameAll(names: readonly string[]): Promise<void> {
    for (const name of names.toReversed()) {
      const path = join(this.#directory, name)
      // The others have theirs on the disk before: it may keep names in any order.
      if (this.#durable && name === names[0]) await syncFolderOf(path)
      try {
        await giveName(this.temporaryPathOf(name), path)
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? existsError(name, error) : error
      }
      this.#named.push(path)
    }
    if (this.#durable) await syncFolderOf(join(this.#directory, names[0] ?? ''))
  }

  /** Removes a member that has no name yet. */
  async remove(name: string): Promise<void> {
    await rm(this.temporaryPathOf(name), { force: true })
    this.#temporary.delete(name)
  }

  /** Removes everything that was made. */
  async undo(): Promise<void> {
    await this.#current?.close()
    this.#current = undefined
    for (const path of [...this.#named.toReversed(), ...this.#temporary.values()])
      await rm(path, { force: true })
  }
}

/** A dynamic disk says at its start how large it is: a bomb is known before it is unpacked. */
export function judgeMemberHead(
  { name: member, sizeBytes }: ArchiveMember,
  head: FooterFields,
  { maxVirtualSizeBytes }: ResolvedLimits,
): void {
  if (!isUsable(head)) return
  const { currentSizeBytes } = head
  if (currentSizeBytes > maxVirtualSizeBytes) {
    throw new XenserverArchiveError({
      member,
      rule: 'virtual-size',
      reason: 'its disk is larger than it may be',
      found: `${currentSizeBytes} bytes`,
      offset: 48,
      accepted: `${maxVirtualSizeBytes} bytes`,
    })
  }
  if (sizeBytes > largestFile(currentSizeBytes)) {
    throw new XenserverArchiveError({
      member,
      rule: 'member-size',
      reason: 'the file is larger than its disk can make it',
      found: `${sizeBytes} bytes for a disk of ${currentSizeBytes}`,
      offset: 48,
    })
  }
}

function existsError(member: string, cause?: unknown): XenserverArchiveError {
  const reason = 'there is a file of that name in the folder already'
  return new XenserverArchiveError({ member, rule: 'target-exists', reason, cause })
}
