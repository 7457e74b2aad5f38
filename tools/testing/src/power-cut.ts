import { constants, fstatSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type FileCall, type Outcome, unwatched, watchFileCalls } from './file-calls.ts'

/** A file, folder or device, whatever its names are. */
interface Inode {
  readonly isFolder: boolean
  /** What it had before anything was recorded; nothing of a new one. */
  readonly initial: Buffer
}

/** When something was asked for, and when it was done; two calls that overlap may be done in either order. */
interface Timed {
  readonly begin: number
  end: number
}

type Change = Timed &
  (
    | { readonly kind: 'write'; readonly inode: Inode; readonly position: number; readonly data: Buffer }
    | { readonly kind: 'length'; readonly inode: Inode; readonly bytes: number }
    /** Names of folders that lead elsewhere, or nowhere, from now on: all of them at once. */
    | {
        readonly kind: 'names'
        readonly names: ReadonlyMap<string, Inode | undefined>
        /** In which they are, as far as they are recorded. */
        readonly folders: readonly Inode[]
      }
  )

/** Everything that was written to it, and done before, is on the disk when it has ended. */
interface Flush extends Timed {
  readonly inode: Inode
}

/** Numbers between 0 and 1. */
export type Random = () => number

/** A generator that gives the same numbers again. */
export function seededRandom(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a disk has after a cut. */
export interface DiskState {
  /** Which cut it was, for messages: the same recording, seed and number give the same state. */
  readonly description: string
  /** Full paths of files. */
  readonly files: readonly string[]
  /** A file's content, until the next state is asked for; undefined where there is none of that name. */
  read(file: string): Buffer | undefined
  /** Puts everything below a recorded folder into another one. */
  writeTo(from: string, to: string): void
}

const sectorBytes = 512

/** What happened to some folders and devices while something was done, in the order in which it happened. */
export class Recording {
  readonly #names: ReadonlyMap<string, Inode>
  readonly #changes: readonly Change[]
  readonly #flushes: readonly Flush[]
  /** How many moments there are at which the power can be cut. */
  readonly moments: number
  /** One for each file: new memory costs more than everything else. */
  readonly #memory = new Map<Inode, Buffer>()

  constructor(
    names: ReadonlyMap<string, Inode>,
    changes: readonly Change[],
    flushes: readonly Flush[],
    moments: number,
  ) {
    this.#names = names
    this.#changes = changes
    this.#flushes = flushes
    this.moments = moments
  }

  /** How many writes, truncations and changes of names there were. */
  get changes(): number {
    return this.#changes.length
  }

  get flushes(): number {
    return this.#flushes.length
  }

  /** Everything that was done until a moment, as after a kill. */
  killed(moment: number = this.moments): DiskState {
    const done = this.#changes.filter(({ begin }) => begin <= moment)
    return this.#stateOf(done, `killed at ${moment}`)
  }

  /**
   * A state that a disk may have when the power is cut at a moment: what was flushed, and of the rest any part, in whole
   * sectors. With `isOrdered` names and lengths are a journal's, of which a beginning is there and which every flush
   * writes, as ext4's and XFS's; without it each is there or not, unless its own folder or file was flushed. What a file
   * was cut to is there before what is written behind that: it is in the same inode.
   */
  cut(moment: number, random: Random, isOrdered: boolean): DiskState {
    const begun = this.#changes.filter(({ begin }) => begin <= moment)
    const flushed = this.#flushes.filter(({ end }) => end <= moment)
    const isSafe = (change: Change): boolean => {
      const later = flushed.filter(({ begin }) => change.end < begin)
      return isOrdered && change.kind !== 'write'
        ? later.length > 0
        : inodesOf(change).every((inode) => later.some((flush) => flush.inode === inode))
    }
    const open = begun.filter((change) => !isSafe(change))
    const manner = Math.floor(random() * 6)
    const one = Math.floor(random() * open.length)
    const journal = open.filter(({ kind }) => kind !== 'write')
    const inJournal = new Set(journal.slice(0, Math.floor(random() * (journal.length + 1))))
    const happens = (change: Change, index: number): number => {
      if (isOrdered && change.kind !== 'write') return inJournal.has(change) ? 1 : 0
      switch (manner) {
        case 0:
          return 0
        case 1:
          return 1
        case 2:
          return index === one ? 1 : 0
        case 3:
          return index === one ? 0 : 1
        case 4:
          return random() < 0.5 ? 1 : 0
        default:
          return random()
      }
    }
    const shares = new Map(open.map((change, index) => [change, happens(change, index)]))
    const lengths = new Map<Inode, { now: number; most: number }>()
    const applied = begun.flatMap((change) => {
      if (change.kind === 'names') return (shares.get(change) ?? 1) < 0.5 ? [] : [change]
      const length = lengths.get(change.inode) ?? { now: change.inode.initial.length, most: Infinity }
      lengths.set(change.inode, length)
      if (change.kind === 'length') {
        const isThere = length.most === Infinity && (shares.get(change) ?? 1) >= 0.5
        if (isThere) length.now = change.bytes
        else length.most = Math.min(length.most, length.now, change.bytes)
        return isThere ? [change] : []
      }
      const end = change.position + change.data.length
      if (end > length.most) return []
      length.now = Math.max(length.now, end)
      const share = shares.get(change) ?? 1
      // What was under way may have been done in part, whatever else.
      const isTorn = manner === 5 || (change.end > moment && random() < 0.5)
      if (!shares.has(change) || !isTorn) return share >= 0.5 ? [change] : []
      return tear(change, random)
    })
    const kinds = ['none', 'all', 'only one', 'all but one', 'some', 'torn']
    return this.#stateOf(
      applied,
      `cut at ${moment} of ${this.moments}, ${kinds[manner]} of ${open.length} open, ${isOrdered ? 'ordered' : 'loose'}`,
    )
  }

  #stateOf(changes: readonly Change[], description: string): DiskState {
    const names = new Map(this.#names)
    for (const change of changes) {
      if (change.kind !== 'names') continue
      for (const [name, inode] of change.names) {
        if (inode === undefined) names.delete(name)
        else names.set(name, inode)
      }
    }
    const made = new Map<Inode, Buffer>()
    const read = (file: string): Buffer | undefined => {
      const inode = names.get(file)
      if (inode === undefined || inode.isFolder) return undefined
      const bytes = made.get(inode) ?? this.#contentOf(inode, changes)
      made.set(inode, bytes)
      return bytes
    }
    const files = [...names].flatMap(([name, inode]) => (inode.isFolder ? [] : [name]))
    const writeTo = (from: string, to: string): void =>
      unwatched(() => {
        for (const [name, inode] of names) {
          const file = path.join(to, path.relative(from, name))
          if (!name.startsWith(`${from}/`)) continue
          mkdirSync(inode.isFolder ? file : path.dirname(file), { recursive: true, mode: 0o700 })
          if (!inode.isFolder) writeFileSync(file, read(name)!, { mode: 0o600 })
        }
      })
    return { description, files, read, writeTo }
  }

  #contentOf(inode: Inode, changes: readonly Change[]): Buffer {
    let length = inode.initial.length
    let most = length
    for (const change of changes) {
      if (change.kind === 'names' || change.inode !== inode) continue
      const end = change.kind === 'write' ? change.position + change.data.length : change.bytes
      most = Math.max(most, end)
    }
    let bytes = this.#memory.get(inode)
    if (bytes === undefined || bytes.length < most) bytes = Buffer.alloc(most)
    this.#memory.set(inode, bytes)
    inode.initial.copy(bytes)
    bytes.fill(0, inode.initial.length)
    for (const change of changes) {
      if (change.kind === 'names' || change.inode !== inode) continue
      if (change.kind === 'write') {
        change.data.copy(bytes, change.position)
        length = Math.max(length, change.position + change.data.length)
      } else {
        if (change.bytes < length) bytes.fill(0, change.bytes, length)
        length = change.bytes
      }
    }
    return bytes.subarray(0, length)
  }
}

/** What is to be flushed for a change to last. */
function inodesOf(change: Change): readonly Inode[] {
  return change.kind === 'names' ? change.folders : [change.inode]
}

/** Parts of a write, sector by sector or page by page: its beginning, or any of them. */
function tear(change: Change & { readonly kind: 'write' }, random: Random): Change[] {
  const { position, data } = change
  // Of a long write so many parts are enough.
  const least = Math.ceil(data.length / 512 / sectorBytes) * sectorBytes
  const unit = Math.max(least, random() < 0.5 ? sectorBytes : 8 * sectorBytes)
  const isBeginning = random() < 0.3
  const share = random()
  const parts: Change[] = []
  for (let at = 0; at < data.length;) {
    const end = Math.min(data.length, at + unit - ((position + at) % unit))
    if (isBeginning ? at < share * data.length : random() < share) {
      parts.push({ ...change, position: position + at, data: data.subarray(at, end) })
    }
    at = end
  }
  return parts
}

/**
 * Records what something changes in some folders and on devices. What is there already counts as being on the disk.
 *
 * @param within folders, files and devices; small enough to be kept in memory
 * @throws {Error} where a file has in the end what no recorded change wrote
 */
export async function recordChanges(
  within: readonly string[],
  act: () => Promise<unknown>,
): Promise<Recording> {
  const recorder = new Recorder()
  for (const name of within) recorder.look(name)
  const watch = await watchFileCalls({
    within,
    before: (call) => recorder.before(call),
    after: (call, outcome) => recorder.after(call, outcome),
  })
  try {
    await act()
  } finally {
    watch.stop()
  }
  const recording = recorder.end()
  recorder.compare(recording.killed())
  return recording
}

class Recorder {
  readonly #initial = new Map<string, Inode>()
  readonly #names = new Map<string, Inode>()
  /** By device and number, as they are now. */
  readonly #inodes = new Map<string, Inode>()
  readonly #changes: Change[] = []
  readonly #flushes: Flush[] = []
  readonly #underWay = new Map<FileCall, Timed[]>()
  readonly #cursors = new Map<number, number>()
  readonly #existed = new Set<FileCall>()
  #now = 0

  look(name: string): void {
    const found = lstatSync(name)
    const initial = found.isDirectory() ? none : readFileSync(name)
    const inode: Inode = { isFolder: found.isDirectory(), initial }
    this.#initial.set(name, inode)
    this.#names.set(name, inode)
    this.#inodes.set(keyOf(found), inode)
    if (!found.isDirectory()) return
    for (const entry of readdirSync(name)) this.look(path.join(name, entry))
  }

  before(call: FileCall): void {
    const { name, path: file, to, fd, arguments: given } = call
    this.#now += 1
    const begin = this.#now
    const timed = { begin, end: Infinity }
    const put = (change: Change): void => {
      this.#changes.push(change)
      this.#underWay.set(call, [...(this.#underWay.get(call) ?? []), change])
    }
    const named = (...entries: (readonly [string, Inode | undefined])[]): void => {
      const folders = this.#foldersOf(entries.map(([entry]) => entry))
      put({ ...timed, kind: 'names', names: new Map(entries), folders })
      for (const [entry, inode] of entries) {
        if (inode === undefined) this.#names.delete(entry)
        else this.#names.set(entry, inode)
      }
    }
    const inode = fd === undefined ? this.#names.get(file) : this.#openInode(fd)
    switch (name) {
      case 'open':
      case 'mkdir':
        if (isThere(file)) this.#existed.add(call)
        return
      case 'writeFile':
      case 'appendFile':
      case 'write':
      case 'writev': {
        if (inode === undefined) {
          if (fd === undefined) throw new Error(`${name} of ${file}, which is new, is not recorded`)
          return
        }
        const data = call.data()
        if (fd === undefined && name === 'writeFile') put({ ...timed, kind: 'length', inode, bytes: 0 })
        const position = call.position ?? this.#cursors.get(fd ?? -1) ?? 0
        if (call.position === undefined && fd !== undefined) this.#cursors.set(fd, position + data.length)
        put({ ...timed, kind: 'write', inode, position, data })
        return
      }
      case 'truncate':
        if (inode !== undefined) put({ ...timed, kind: 'length', inode, bytes: call.bytes ?? 0 })
        return
      case 'sync':
      case 'datasync':
        if (inode !== undefined) {
          const flush = { ...timed, inode }
          this.#flushes.push(flush)
          this.#underWay.set(call, [flush])
        }
        return
      case 'rename':
        if (inode !== undefined) named([file, undefined], [to!, inode])
        return
      case 'link':
        if (inode !== undefined && !isThere(to!)) named([to!, inode])
        return
      case 'unlink':
      case 'rm':
      case 'rmdir':
        for (const found of this.#names.keys()) {
          if (found === file || found.startsWith(`${file}/`)) named([found, undefined])
        }
        return
      case 'spawn':
      case 'copyFile':
        return
      default:
        if (['symlink', 'cp', 'mkdtemp'].includes(name))
          throw new Error(`${name} is not recorded: ${given.join()}`)
    }
  }

  after(call: FileCall, { error, result }: Outcome): void {
    this.#now += 1
    for (const timed of this.#underWay.get(call) ?? []) {
      // What failed may have been done all the same, but is never waited for.
      if (error === undefined) timed.end = this.#now
    }
    this.#underWay.delete(call)
    if (error !== undefined) return
    const begin = this.#now
    if (call.name === 'open') {
      const fd = typeof result === 'number' ? result : (result as { readonly fd: number }).fd
      const flags = call.arguments[1] ?? 'r'
      if (!this.#existed.has(call)) this.#appeared(call.path, begin)
      else if (isTruncating(flags)) {
        this.#changes.push({ begin, end: begin, kind: 'length', inode: this.#openInode(fd)!, bytes: 0 })
      }
      this.#cursors.set(fd, 0)
    }
    if (call.name === 'mkdir' && !this.#existed.has(call)) this.#appeared(call.path, begin)
    if (call.name === 'copyFile') this.#appeared(call.to!, begin)
    if (call.name === 'spawn') this.#compareAfterTool(begin)
  }

  end(): Recording {
    return new Recording(this.#initial, this.#changes, this.#flushes, this.#now)
  }

  compare(last: DiskState): void {
    for (const file of last.files) {
      const found = lstatSync(file, { throwIfNoEntry: false })
      if (found === undefined) throw new Error(`${file} is gone, which no recorded call did`)
      if (!readFileSync(file).equals(last.read(file)!)) {
        throw new Error(`${file} has what no recorded call wrote`)
      }
    }
  }

  #foldersOf(names: readonly string[]): Inode[] {
    const folders = new Set(names.map((name) => this.#names.get(path.dirname(name))))
    return [...folders].filter((folder) => folder !== undefined)
  }

  #openInode(fd: number): Inode | undefined {
    return this.#inodes.get(keyOf(fstatSync(fd)))
  }

  #appeared(file: string, at: number): void {
    const found = lstatSync(file)
    const inode: Inode = { isFolder: found.isDirectory(), initial: none }
    this.#inodes.set(keyOf(found), inode)
    this.#names.set(file, inode)
    const folders = this.#foldersOf([file])
    this.#changes.push({ begin: at, end: at, kind: 'names', names: new Map([[file, inode]]), folders })
    const data = found.isFile() ? readFileSync(file) : none
    if (data.length > 0) this.#changes.push({ begin: at, end: at, kind: 'write', inode, position: 0, data })
  }

  /** What a tool wrote: seen when it has ended, and not known to be flushed. */
  #compareAfterTool(at: number): void {
    const state = new Recording(this.#initial, this.#changes, [], at).killed()
    for (const [file, inode] of this.#names) {
      const found = lstatSync(file, { throwIfNoEntry: false })
      if (inode.isFolder) {
        for (const entry of readdirSync(file).map((name) => path.join(file, name))) {
          if (!this.#names.has(entry)) this.#appeared(entry, at)
        }
      }
      if (found === undefined || inode.isFolder) continue
      const data = readFileSync(file)
      if (data.equals(state.read(file)!)) continue
      if (found.isFile()) this.#changes.push({ begin: at, end: at, kind: 'length', inode, bytes: 0 })
      this.#changes.push({ begin: at, end: at, kind: 'write', inode, position: 0, data })
    }
  }
}

const none = Buffer.alloc(0)

function keyOf({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev}:${ino}`
}

function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined
}

function isTruncating(flags: unknown): boolean {
  if (typeof flags === 'number') return (flags & constants.O_TRUNC) !== 0
  return String(flags).startsWith('w')
}
