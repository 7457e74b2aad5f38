import { AsyncLocalStorage } from 'node:async_hooks'
import { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import path from 'node:path'

/** A call that names, reads or changes a file; or starts a process that is told of one. */
export interface FileCall {
  /** From 1, among the calls that are watched. */
  readonly number: number
  /**
   * As `node:fs/promises` has it, whatever form it has: `write` stands for `FileHandle.write`, `write` and `writeSync`,
   * `sync` for `fsync`. `spawn` is a process.
   */
  readonly name: string
  readonly via: 'promise' | 'handle' | 'callback' | 'sync' | 'process'
  /** Of the file, absolute and without links; of what is open, where it is now. */
  readonly path: string
  /** Where a `rename`, `link` or `copyFile` leads. */
  readonly to: string | undefined
  /** Of what is open. */
  readonly fd: number | undefined
  /** Of a read or write; undefined where the file has its own. */
  readonly position: number | undefined
  /** Of a read or write, as asked for; of a truncation, the length. */
  readonly bytes: number | undefined
  /** As they were given. */
  readonly arguments: readonly unknown[]
  /** A copy of what is written. */
  data(): Buffer
}

/** What becomes of a call: an error in its place, or only its first bytes of a read or write; by default all of it. */
export type Fate = Error | { readonly limitBytes: number } | void

/** How a call ended. */
export interface Outcome {
  readonly error?: unknown
  readonly result?: unknown
}

/** What {@link watchFileCalls} watches, and what it asks and tells. */
export interface WatchOptions {
  /** Folders, files and devices; calls elsewhere aren't seen. */
  readonly within: readonly string[]
  /** Asked before each call. Only of what answers with a promise it may be a promise itself. */
  readonly before?: ((call: FileCall) => Fate | Promise<Fate>) | undefined
  /** Told when a call has ended, and before its caller hears of it. */
  readonly after?: ((call: FileCall, outcome: Outcome) => void) | undefined
}

/** A watch that ends with {@link FileWatch.stop}. */
export interface FileWatch extends Disposable {
  /** How many calls were seen. */
  readonly count: number
  stop(): void
}

type Operation = (this: unknown, ...given: never[]) => unknown
type Holder = Record<string, Operation>

/** Each with a path first, and in the forms `NAME` of promises and callbacks, and `NAMESync`. */
const ofPaths =
  'access appendFile chmod chown copyFile cp lchown link lstat lutimes mkdir mkdtemp open opendir readdir readFile readlink realpath rename rm rmdir stat statfs symlink truncate unlink utimes writeFile'.split(
    ' ',
  )
/** Each with a descriptor first, in the forms `NAME` and `NAMESync`; and what it is called here. */
const ofDescriptors: Readonly<Record<string, string>> = {
  close: 'close',
  fchmod: 'chmod',
  fchown: 'chown',
  fdatasync: 'datasync',
  fstat: 'stat',
  fsync: 'sync',
  ftruncate: 'truncate',
  futimes: 'utimes',
  read: 'read',
  readv: 'readv',
  write: 'write',
  writev: 'writev',
}
const ofHandles =
  'appendFile chmod chown datasync read readFile readv stat sync truncate utimes write writeFile writev'.split(
    ' ',
  )

/** Set while a watch does its own file calls, and inside of the calls that it passes on. */
const unseen = new AsyncLocalStorage<true>()

/** Does something whose file calls no watch sees. */
export function unwatched<Result>(act: () => Result): Result {
  return unseen.run(true, act)
}

const { readlinkSync, realpathSync } = fs

/**
 * Watches every file call of this process within some folders: of `node:fs/promises`, of open handles, of the callback
 * and sync forms of `node:fs`, and processes that are told of what lies there. Each can be made to fail. Threads have a
 * `node:fs` of their own, which isn't seen.
 */
export async function watchFileCalls(options: WatchOptions): Promise<FileWatch> {
  const within = options.within.map((name) => realpathSync(name))
  const isWithin = (file: string | undefined): boolean =>
    file !== undefined && within.some((folder) => file === folder || file.startsWith(`${folder}/`))
  let count = 0
  let isStopped = false
  const undo: (() => void)[] = []

  function replace(holder: Holder, name: string, made: (original: Operation) => Operation): void {
    const original = holder[name]
    if (typeof original !== 'function') return
    const replacement = made(original)
    for (const [key, value] of Object.entries(Object.getOwnPropertyDescriptors(original))) {
      if (key !== 'prototype') Object.defineProperty(replacement, key, value)
    }
    for (const key of Object.getOwnPropertySymbols(original)) {
      Object.defineProperty(replacement, key, Object.getOwnPropertyDescriptor(original, key)!)
    }
    const own = Object.getOwnPropertyDescriptor(holder, name)!
    Object.defineProperty(holder, name, { ...own, value: replacement })
    if (!('fd' in holder)) undo.push(() => Object.defineProperty(holder, name, own))
  }

  /** A call, if it is to be seen. */
  function seen(name: string, via: FileCall['via'], self: unknown, given: unknown[]): FileCall | undefined {
    if (isStopped || unseen.getStore() === true) return undefined
    const fd = descriptorOf(via === 'handle' ? self : given[0])
    const rest = via === 'handle' ? given : given.slice(1)
    const file =
      via === 'process'
        ? toldOf(given, isWithin)
        : fd === undefined
          ? named(given[name === 'symlink' ? 1 : 0])
          : openAt(fd)
    const to = ['copyFile', 'cp', 'link', 'rename'].includes(name) ? named(given[1]) : undefined
    if (file === undefined || (!isWithin(file) && !isWithin(to))) return undefined
    count += 1
    const part = fd === undefined && name !== 'truncate' ? undefined : partOf(name, rest)
    return {
      number: count,
      name,
      via,
      path: file,
      to,
      fd,
      position: part?.position,
      bytes: part?.bytes,
      arguments: given,
      data: () => dataOf(name, rest),
    }
  }

  const tell = (call: FileCall, outcome: Outcome): void => unwatched(() => options.after?.(call, outcome))
  const ask = (call: FileCall): Fate | Promise<Fate> => unwatched(() => options.before?.(call))
  const askNow = (call: FileCall): Fate => {
    const fate = ask(call)
    if (fate instanceof Promise) throw new TypeError(`${call.name} can't wait for a promise`)
    return fate
  }

  const promised = (name: string, via: 'promise' | 'handle') => (original: Operation) =>
    function (this: unknown, ...given: never[]): unknown {
      const call = seen(name, via, this, given)
      if (call === undefined) return original.apply(this, given)
      const run = async (): Promise<unknown> => {
        try {
          const fate = await ask(call)
          if (fate instanceof Error) throw fate
          const now = fate === undefined ? given : limited(name, via === 'handle', given, fate.limitBytes)
          const result = await unwatched(() => original.apply(this, now as never[]))
          // A handle has its own.
          if (name === 'open') replace(result as Holder, 'close', promised('close', 'handle'))
          tell(call, { result })
          return result
        } catch (error) {
          tell(call, { error })
          throw error
        }
      }
      return run()
    }

  const now = (name: string, via: 'sync') => (original: Operation) =>
    function (this: unknown, ...given: never[]): unknown {
      const call = seen(name, via, this, given)
      if (call === undefined) return original.apply(this, given)
      try {
        const fate = askNow(call)
        if (fate instanceof Error) throw fate
        const args = fate === undefined ? given : limited(name, false, given, fate.limitBytes)
        const result = unwatched(() => original.apply(this, args as never[]))
        tell(call, { result })
        return result
      } catch (error) {
        tell(call, { error })
        throw error
      }
    }

  const withCallback = (name: string) => (original: Operation) =>
    function (this: unknown, ...given: never[]): unknown {
      const callback = given.at(-1) as unknown
      const call = typeof callback === 'function' ? seen(name, 'callback', this, given) : undefined
      if (call === undefined) return original.apply(this, given)
      // What the caller does when it hears of the end is the caller's again.
      const outside = AsyncLocalStorage.snapshot()
      const answer = (error: unknown, ...results: unknown[]): void => {
        tell(call, error === null || error === undefined ? { result: results[0] } : { error })
        outside(() => Reflect.apply(callback as Operation, undefined, [error, ...results]))
      }
      const fate = askNow(call)
      if (fate instanceof Error) {
        process.nextTick(answer, fate)
        return undefined
      }
      const front = given.slice(0, -1)
      const args = fate === undefined ? front : limited(name, false, front, fate.limitBytes)
      return unwatched(() => original.apply(this, [...args, answer] as never[]))
    }

  const asFs = fs as unknown as Holder
  for (const name of ofPaths) {
    replace(fs.promises as unknown as Holder, name, promised(name, 'promise'))
    replace(asFs, name, withCallback(name))
    replace(asFs, `${name}Sync`, now(name, 'sync'))
  }
  for (const [form, name] of Object.entries(ofDescriptors)) {
    replace(asFs, form, withCallback(name))
    replace(asFs, `${form}Sync`, now(name, 'sync'))
  }
  const sample = await unwatched(() => fs.promises.open('/dev/null'))
  const prototype = Object.getPrototypeOf(sample) as Holder
  await unwatched(() => sample.close())
  for (const name of ofHandles) replace(prototype, name, promised(name, 'handle'))
  replace(ChildProcess.prototype as unknown as Holder, 'spawn', (original) => {
    return function (this: ChildProcess, ...given: never[]): unknown {
      const call = seen('spawn', 'process', this, given)
      if (call === undefined) return original.apply(this, given)
      const fate = askNow(call)
      if (fate instanceof Error) {
        tell(call, { error: fate })
        throw fate
      }
      this.once('exit', (code, signal) => tell(call, { result: code ?? signal }))
      this.once('error', (error) => tell(call, { error }))
      return original.apply(this, given)
    } as Operation
  })
  syncBuiltinESMExports()

  const stop = (): void => {
    isStopped = true
    for (const restore of undo.toReversed()) restore()
    undo.length = 0
    syncBuiltinESMExports()
  }
  return {
    get count() {
      return count
    },
    stop,
    [Symbol.dispose]: stop,
  }
}

function descriptorOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  const fd = typeof value === 'object' && value !== null && 'fd' in value ? value.fd : undefined
  return typeof fd === 'number' ? fd : undefined
}

/** Where an open file is by now. */
function openAt(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).replace(/ \(deleted\)$/, '')
  } catch {
    return undefined
  }
}

/** A path without links but for its last part; a file that is held, under its own name. */
function named(given: unknown): string | undefined {
  if (typeof given !== 'string' && !Buffer.isBuffer(given) && !(given instanceof URL)) return undefined
  const file = path.resolve(given instanceof URL ? given.pathname : String(given))
  const held = /^\/proc\/(?:self|\d+)\/fd\/\d+$/.exec(file)
  try {
    if (held !== null) return readlinkSync(file).replace(/ \(deleted\)$/, '')
    return path.join(realpathSync(path.dirname(file)), path.basename(file))
  } catch {
    return file
  }
}

/** What of the watched a process is told of. */
function toldOf(given: unknown[], isWithin: (file: string | undefined) => boolean): string | undefined {
  const { args = [] } = given[0] as { readonly args?: readonly string[] }
  const parts = args.flatMap((word) => word.split(/[=,]/))
  return parts
    .filter((part) => part.startsWith('/'))
    .map(named)
    .find(isWithin)
}

interface Part {
  readonly position: number | undefined
  readonly bytes: number | undefined
}

function numberOr(value: unknown): number | undefined {
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'number' && value >= 0 ? value : undefined
}

/** Which bytes of a buffer a read or write is about. */
interface Slice {
  readonly buffer: ArrayBufferView
  readonly offset: number
  readonly length: number
  readonly position: number | undefined
}

/** Both signatures: `(buffer, offset, length, position)` and `(buffer, { offset, length, position })`. */
function sliceOf(rest: readonly unknown[]): Slice | undefined {
  const [first, second, third, fourth] = rest
  const isOne = !ArrayBuffer.isView(first) && typeof first === 'object' && first !== null
  const buffer = isOne ? (first as { readonly buffer?: unknown }).buffer : first
  if (!ArrayBuffer.isView(buffer)) return undefined
  const named = (isOne ? first : second) as Partial<Slice> | null | undefined
  const isNamed = typeof named === 'object' && named !== null
  const offset = numberOr(isNamed ? named.offset : second) ?? 0
  const length = numberOr(isNamed ? named.length : third) ?? buffer.byteLength - offset
  return { buffer, offset, length, position: numberOr(isNamed ? named.position : fourth) }
}

function partOf(name: string, rest: readonly unknown[]): Part | undefined {
  switch (name) {
    case 'truncate':
      return { position: undefined, bytes: numberOr(rest[0]) ?? 0 }
    case 'read':
    case 'write': {
      const slice = sliceOf(rest)
      if (slice !== undefined) return { position: slice.position, bytes: slice.length }
      return { position: numberOr(rest[1]), bytes: dataOf(name, rest).length }
    }
    case 'readv':
    case 'writev': {
      const buffers = rest[0] as readonly ArrayBufferView[]
      const bytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0)
      return { position: numberOr(rest[1]), bytes }
    }
    case 'appendFile':
    case 'writeFile':
      return { position: undefined, bytes: dataOf(name, rest).length }
    default:
      return undefined
  }
}

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

function dataOf(name: string, rest: readonly unknown[]): Buffer {
  const [first] = rest
  if (name === 'writev') return Buffer.concat((first as ArrayBufferView[]).map(bytesOf))
  if (name === 'write') {
    const slice = sliceOf(rest)
    if (slice !== undefined) {
      return Buffer.from(bytesOf(slice.buffer).subarray(slice.offset, slice.offset + slice.length))
    }
    return Buffer.from(String(first), typeof rest[2] === 'string' ? (rest[2] as BufferEncoding) : 'utf8')
  }
  if (!['appendFile', 'writeFile'].includes(name)) return Buffer.alloc(0)
  return ArrayBuffer.isView(first) ? Buffer.from(bytesOf(first)) : Buffer.from(String(first))
}

/** The arguments of the same call for its first bytes only. */
function limited(name: string, isHandle: boolean, given: readonly unknown[], limitBytes: number): unknown[] {
  const front = isHandle ? [] : given.slice(0, 1)
  const rest = isHandle ? given : given.slice(1)
  if (name === 'readv' || name === 'writev') {
    let left = limitBytes
    const buffers = (rest[0] as readonly ArrayBufferView[]).map((view) => {
      const part = bytesOf(view).subarray(0, left)
      left -= part.length
      return part
    })
    return [...front, buffers, ...rest.slice(1)]
  }
  const slice = name === 'read' || name === 'write' ? sliceOf(rest) : undefined
  if (slice === undefined) throw new TypeError(`${name} can't be limited`)
  const { buffer, offset, length, position } = slice
  return [...front, buffer, offset, Math.min(length, limitBytes), position ?? null]
}
