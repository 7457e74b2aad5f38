import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteSink, CallOptions, Target } from '@disk-image/core'
import {
  CoveredSectors,
  type DynamicHead,
  isUsable,
  openDynamicVhdStream,
  parseVhdFooter,
  parseVhdHead,
  type VhdType,
  writeUncovered,
} from '@disk-image/disk/vhd'
import { writeFully } from '@disk-image/io'
import { XenserverArchiveError } from '../errors.ts'
import { namingMember, withMember } from './extract-xenserver-archive.ts'
import { type ArchiveWarning, ChainJudge, headOf } from './judge-archive.ts'
import { type ArchiveLimits, type ResolvedLimits, resolveLimits } from './limits.ts'
import { judgeMemberHead, MemberWriter } from './member-writer.ts'
import { type ArchiveMember, ArchiveReader, type DiskSink } from './read-archive.ts'

/** Options of {@link openXenserverDecoder}. */
export interface XenserverDecoderOptions extends ArchiveLimits, Pick<CallOptions, 'signal'> {
  /**
   * Takes the disk's bytes, each once, and some zeros between them; reads as zeros where nothing is written. What it
   * throws ends the decoding.
   */
  readonly target: Pick<Target, 'write' | 'zero'>
  /** Is told the bytes of the disk, once and before the target is called. What it throws ends the decoding. */
  readonly onSize: (sizeBytes: number) => Promise<void>
  /** Whether `target.zero` is called for all of the disk that no file of the chain has. @default false */
  readonly writeZeros?: boolean | undefined
  /** An empty folder for what can't be written when it comes, asked for when there is something. */
  readonly folder: () => Promise<string>
  /** Puts something before the sink of the disk without a parent, which sees all bytes of its file, in order. */
  readonly inspect?: ((sink: DiskSink) => DiskSink) | undefined
}

/** What an archive came to. */
export interface DecodedXenserverArchive {
  readonly virtualSizeBytes: number
  readonly warnings: readonly ArchiveWarning[]
}

/** Takes an archive while it arrives. */
export interface XenserverDecoder extends ByteSink {
  /** Says that it is complete. Resolves when all of its disk is on the target, and judged. */
  end(): Promise<DecodedXenserverArchive>
  /** Gives up, and removes what was put into the folder. Harmless after the end. */
  close(): Promise<void>
}

/**
 * Decodes the chain in a XenServer archive while it arrives: the disk that its leaf shows, without unpacking a file.
 *
 * A disk whose children have all come goes straight onto the target, but for the sectors that a child has. Which these
 * are is kept in at most 64 MiB of memory. A disk that comes before one of its children waits in the folder, and so does
 * one that its head does not tell enough of (a fixed disk, a block table behind the blocks). Each is judged by its head
 * and table before anything of it is written, and as a whole before the next one.
 *
 * What is on the target is nothing to be used before `end` has resolved.
 *
 * @throws {XenserverArchiveError} from `write` and `end`, with the rule that is broken, and where
 */
export function openXenserverDecoder(options: XenserverDecoderOptions): XenserverDecoder {
  return new ArchiveDecoder(options)
}

class ArchiveDecoder implements XenserverDecoder {
  readonly #options: XenserverDecoderOptions
  readonly #limits: ResolvedLimits
  readonly #reader: ArchiveReader
  readonly #judge: ChainJudge
  /** The disk whose turn it is, and those that came before theirs. */
  #next = 0
  readonly #waiting = new Map<number, ArchiveMember>()
  #covered: CoveredSectors | undefined
  #folder: Promise<Folder> | undefined
  /** Of the disk that comes. */
  #stream: { close(): Promise<void> } | undefined

  constructor(options: XenserverDecoderOptions) {
    this.#options = options
    this.#limits = resolveLimits(options, Infinity)
    this.#judge = new ChainJudge(this.#limits)
    this.#reader = new ArchiveReader(this.#limits, (member) => this.#open(member))
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#options.signal?.throwIfAborted()
    await this.#reader.write(chunk)
  }

  async end(): Promise<DecodedXenserverArchive> {
    await this.#reader.end()
    this.#judge.end()
    const sizeBytes = this.#covered?.sizeBytes ?? 0
    if (this.#options.writeZeros === true) {
      const { target } = this.#options
      for (const [from, to] of this.#covered?.take(0, sizeBytes, false) ?? []) {
        this.#options.signal?.throwIfAborted()
        await target.zero(from, to - from)
      }
    }
    await this.close()
    return { virtualSizeBytes: sizeBytes, warnings: this.#judge.warnings }
  }

  async close(): Promise<void> {
    await this.#reader.close()
    await this.#stream?.close()
    const folder = await this.#folder?.catch(() => undefined)
    await folder?.writer.undo()
  }

  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async #open(member: ArchiveMember): Promise<DiskSink> {
    if (member.index !== this.#next) return this.#wait(member)
    let head: Uint8Array = new Uint8Array()
    let onto: DiskSink | undefined
    const begin = async (): Promise<DiskSink> => {
      onto = await this.#begin(member, head)
      await onto.write(head)
      return onto
    }
    return {
      write: async (bytes) => {
        if (onto !== undefined) return onto.write(bytes)
        head = Buffer.concat([head, bytes])
        if (isHeadWhole(head)) await begin()
      },
      end: async () => (onto ?? (await begin())).end(),
    }
  }

  /** Decides by its head how a disk is taken whose turn it is. */
  async #begin(member: ArchiveMember, head: Uint8Array): Promise<DiskSink> {
    judgeMemberHead(member, parseVhdFooter(head), this.#limits)
    const { dynamic, problems } = parseVhdHead(head, true)
    // What is wrong with it a look at the whole file says better.
    if (dynamic === undefined || problems.length > 0) return this.#wait(member)
    const { name } = member
    const { footer } = dynamic
    const { type, uniqueId, currentSizeBytes: sizeBytes } = footer
    this.#judge.add({ name, type, uniqueId, sizeBytes, dynamic })
    const sink = await this.#decode(member, dynamic, await this.#coverFor(sizeBytes))
    return type === 'differencing' ? sink : (this.#options.inspect?.(sink) ?? sink)
  }

  async #coverFor(sizeBytes: number): Promise<CoveredSectors> {
    if (this.#covered === undefined) {
      this.#covered = new CoveredSectors(sizeBytes)
      await this.#options.onSize(sizeBytes)
    }
    // Of a sector in which a parent ends, what is behind its end belongs to it, and is zero.
    const end = Math.min(this.#covered.sizeBytes, Math.ceil(sizeBytes / 512) * 512)
    const start = Math.floor(sizeBytes / 512) * 512
    if (this.#options.writeZeros === true && sizeBytes < end && this.#covered.isFree(start, end)) {
      await this.#options.target.zero(sizeBytes, end - sizeBytes)
    }
    return this.#covered
  }

  async #decode({ name }: ArchiveMember, head: DynamicHead, covered: CoveredSectors): Promise<DiskSink> {
    const keeps = this.#keeps(head.footer.type)
    const spool = new OverflowFile(async () => (await this.#openFolder()).path)
    const decoder = await openDynamicVhdStream(
      head,
      { target: this.#options.target, spool, signal: this.#options.signal },
      { covered, keeps, judge: (disk) => this.#judge.judgeWhole(name, disk) },
    )
    const close = async (): Promise<void> => {
      await decoder.close()
      await spool.close()
    }
    this.#stream = { close }
    let position = 0
    return {
      write: async (bytes) => {
        const offset = position
        position += bytes.length
        await namingMember(name, () => decoder.write(bytes, offset))
      },
      end: async () => {
        await namingMember(name, () => decoder.end())
        await close()
        await this.#goOn()
      },
    }
  }

  /** Puts a disk into the folder, until it is its turn. */
  async #wait(member: ArchiveMember): Promise<DiskSink> {
    const { path, writer } = await this.#openFolder()
    const { bavail, bsize } = await statfs(path)
    if (member.sizeBytes > bavail * bsize) {
      throw new XenserverArchiveError({
        member: member.name,
        rule: 'size-limit',
        reason: 'there is no room for it where it waits for the disks before it',
        found: `${member.sizeBytes} bytes, ${bavail * bsize} are free`,
      })
    }
    const sink = await writer.open(member)
    return {
      write: (bytes) => sink.write(bytes),
      end: async () => {
        await sink.end()
        this.#waiting.set(member.index, member)
        if (member.index === this.#next) await this.#takeWaiting(member)
      },
    }
  }

  /** A disk is done: the next one may be there already. */
  async #goOn(): Promise<void> {
    this.#next += 1
    const member = this.#waiting.get(this.#next)
    if (member !== undefined) await this.#takeWaiting(member)
  }

  async #takeWaiting({ index, name }: ArchiveMember): Promise<void> {
    const { writer } = await this.#openFolder()
    const path = writer.temporaryPathOf(name)
    const { target, signal, inspect } = this.#options
    await withMember(path, name, async (disk) => {
      this.#judge.add(headOf(name, disk))
      await this.#judge.judgeWhole(name, disk)
      if (disk.type !== 'differencing') await show(path, inspect?.({ write: () => undefined, end: nothing }))
      const covered = await this.#coverFor(disk.sizeBytes)
      const keeps = this.#keeps(disk.type === 'raw' ? 'fixed' : disk.type)
      await writeUncovered(disk, [0, disk.sizeBytes], { covered, keeps }, async (bytes, offset) => {
        signal?.throwIfAborted()
        await target.write(bytes, offset)
      })
    })
    this.#waiting.delete(index)
    await writer.remove(name)
    await this.#goOn()
  }

  /** Whether what a disk has must be remembered. */
  #keeps(type: VhdType): boolean {
    return type === 'differencing' || this.#options.writeZeros === true
  }

  #openFolder(): Promise<Folder> {
    this.#folder ??= this.#options
      .folder()
      .then((path) => ({ path, writer: new MemberWriter(path, this.#limits, false) }))
    return this.#folder
  }
}

interface Folder {
  readonly path: string
  readonly writer: MemberWriter
}

const nothing = (): Promise<void> => Promise.resolve()

/** Whether a head can be parsed: of a dynamic disk it has the header, too. */
function isHeadWhole(head: Uint8Array): boolean {
  if (head.length < 512) return false
  const footer = parseVhdFooter(head)
  if (!isUsable(footer) || footer.headerOffset === undefined) return true
  return head.length >= Math.min(footer.headerOffset + 1024, 1024 ** 2)
}

/** Shows all of a file to a sink. */
async function show(path: string, sink: DiskSink | undefined): Promise<void> {
  if (sink === undefined) return
  const file = await open(path)
  try {
    for await (const bytes of file.createReadStream({ autoClose: false, highWaterMark: 1024 ** 2 })) {
      await sink.write(bytes as Uint8Array)
    }
    await sink.end()
  } finally {
    await file.close()
  }
}

/** What of a stream has to wait and is too much for memory; there is no file before there is anything of it. */
class OverflowFile {
  readonly #folder: () => Promise<string>
  #opened: Promise<FileHandle> | undefined
  #path = ''

  constructor(folder: () => Promise<string>) {
    this.#folder = folder
  }

  get file(): string {
    return this.#path
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#opened ??= this.#folder().then((folder) => {
      this.#path = join(folder, `.${crypto.randomUUID()}.spool`)
      return open(this.#path, 'wx', 0o600)
    })
    await writeFully(await this.#opened, bytes, offset)
  }

  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await (await opened?.catch(() => undefined))?.close()
    if (this.#path !== '') await rm(this.#path, { force: true })
  }
}
