import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { settle, takeCensus } from './census.ts'
import { type HelperFate, watchHelpers } from './helper-calls.ts'
import { type Fate, type FileCall, type Outcome, watchFileCalls } from './file-calls.ts'

/** What fails at the n-th call. */
export type FaultKind =
  | 'dead'
  | 'EAGAIN'
  | 'early-end'
  | 'EIO'
  | 'EMFILE'
  | 'ENOSPC'
  | 'full'
  | 'no-write'
  | 'short-read'
  | 'short-write'
  | 'thread-ends'
  | 'thread-fails'
  | 'thread-refused'
  | 'tool-cut'
  | 'tool-killed'
  | 'tool-missing'

/** An operation that is run with a fault, as often as it has calls. */
export interface Tried {
  readonly name: string
  /** What it works on; emptied and filled again by `prepare`. Nothing else is watched. */
  readonly folders: readonly string[]
  /** Makes everything as it is before the operation. */
  prepare(): Promise<void>
  run(signal: AbortSignal): Promise<unknown>
  /** Looks at what there is: after success whether it is right, after an error whether anybody could be misled. Throws. */
  check(error: unknown): Promise<void> | void
  /** Names of files that may stay after a failure, where nothing else could be done. */
  readonly mayStay?: RegExp | undefined
  /** Whether a kind of errors of the operation is right, beside those of this family and of the system. */
  readonly knows?: ((error: unknown) => boolean) | undefined
}

/** What went wrong, and how it is repeated. */
export interface Finding {
  readonly operation: string
  readonly kind: FaultKind
  readonly call: number
  readonly what: string
}

/** How many runs there were, and what they found. */
export interface Tally {
  runs: number
  calls: number
  /** Runs that ended well, although something had failed. */
  survived: number
  readonly codes: Record<string, number>
  readonly findings: Finding[]
}

interface Fault {
  /** Whether a call may fail so in real life. */
  readonly fits: (call: FileCall) => boolean
  readonly fate: (call: FileCall) => Fate
  /** Whether all that fit from the n-th on fail. */
  readonly lasts?: boolean
  /** No file call, but the n-th thread, message to one, or process. */
  readonly helper?: readonly [of: 'message' | 'process' | 'thread', fate: HelperFate]
}

const failed = (code: string, errno: number) => (call: FileCall) =>
  Object.assign(new Error(`${code}: injected, ${call.name} '${call.path}'`), {
    code,
    errno,
    syscall: call.name,
  })
const growing = new Set(
  'appendFile copyFile cp datasync link mkdir mkdtemp rename symlink sync truncate write writeFile writev'.split(
    ' ',
  ),
)
const opening = new Set(['open', 'opendir', 'readdir', 'mkdtemp', 'readFile', 'writeFile', 'copyFile'])

function makes(call: FileCall): boolean {
  if (call.name !== 'open') return growing.has(call.name)
  const flags = call.arguments[1]
  return typeof flags === 'string' ? /^[wa]/.test(flags) : (Number(flags) & 0o100) !== 0
}
const many = (names: string) => (call: FileCall) =>
  names.split(' ').includes(call.name) && (call.bytes ?? 0) > 1

const noCall = { fits: () => false, fate: () => undefined }

const kinds: Readonly<Record<FaultKind, Fault>> = {
  EIO: { fits: ({ name }) => name !== 'spawn', fate: failed('EIO', -5) },
  ENOSPC: { fits: makes, fate: failed('ENOSPC', -28) },
  full: { fits: makes, fate: failed('ENOSPC', -28), lasts: true },
  dead: { fits: ({ name }) => !['spawn', 'close'].includes(name), fate: failed('EIO', -5), lasts: true },
  EMFILE: { fits: ({ name }) => opening.has(name), fate: failed('EMFILE', -24) },
  EAGAIN: { fits: ({ name }) => name === 'spawn', fate: failed('EAGAIN', -11) },
  'short-write': {
    fits: many('write writev'),
    fate: ({ bytes = 2 }) => ({ limitBytes: Math.max(1, bytes >> 1) }),
  },
  'no-write': { fits: many('write writev'), fate: () => ({ limitBytes: 0 }) },
  'short-read': {
    fits: many('read readv'),
    fate: ({ bytes = 2 }) => ({ limitBytes: Math.max(1, bytes >> 1) }),
  },
  'early-end': { fits: many('read readv'), fate: () => ({ limitBytes: 0 }) },
  'thread-refused': { ...noCall, helper: ['thread', 'refused'] },
  'thread-ends': { ...noCall, helper: ['message', 'ends'] },
  'thread-fails': { ...noCall, helper: ['message', 'fails'] },
  'tool-missing': { ...noCall, helper: ['process', 'missing'] },
  'tool-killed': { ...noCall, helper: ['process', 'killed'] },
  'tool-cut': { ...noCall, helper: ['process', 'cut'] },
}

export const faultKinds: readonly FaultKind[] = Object.keys(kinds) as FaultKind[]

/** Options of {@link tryEveryCall}. */
export interface TryOptions {
  readonly kinds?: readonly FaultKind[]
  /** Every which call. @default 1 */
  readonly stride?: number
  /** The first one. @default 1 */
  readonly first?: number
  readonly last?: number
  readonly mostMs?: number
  readonly tally: Tally
}

export function newTally(): Tally {
  return { runs: 0, calls: 0, survived: 0, codes: {}, findings: [] }
}

/**
 * Runs an operation again and again, each time with another of its file calls failing, until it runs without a failure.
 * Each time it must end soon, with the right bytes or an error with a code, and leave nothing.
 */
export async function tryEveryCall(tried: Tried, options: TryOptions): Promise<void> {
  await tried.prepare()
  // One for all of its runs: what a watch puts around the calls of open files stays there.
  const now: { current: Running | undefined } = { current: undefined }
  using _watch = await watchFileCalls({
    within: tried.folders,
    before: (call) => now.current?.before(call),
    after: (call, outcome) => now.current?.after(call, outcome),
  })
  for (const kind of options.kinds ?? faultKinds) {
    for (
      let number = options.first ?? 1;
      number <= (options.last ?? 100_000);
      number += options.stride ?? 1
    ) {
      if (!(await tryOnce(tried, kind, number, options, now))) break
    }
  }
}

interface Running {
  readonly before: (call: FileCall) => Fate
  readonly after: (call: FileCall, outcome: Outcome) => void
}

/** @returns whether a call failed */
async function tryOnce(
  tried: Tried,
  kind: FaultKind,
  number: number,
  { tally, mostMs = 5000 }: TryOptions,
  now: { current: Running | undefined },
): Promise<boolean> {
  const fault: Fault = kinds[kind]
  await tried.prepare()
  const before = takeCensus(tried.folders)
  let fitting = 0
  let hit: Pick<FileCall, 'name' | 'path' | 'via'> | undefined
  let hitsRemoval = false
  const fateOf = (call: FileCall): Fate => {
    if (!fault.fits(call)) return undefined
    fitting += 1
    if (fault.lasts === true ? fitting < number : fitting !== number) return undefined
    hit ??= call
    hitsRemoval ||= ['rm', 'unlink', 'rmdir'].includes(call.name)
    return fault.fate(call)
  }
  const lost: unknown[] = []
  const onLost = (error: unknown): void => void lost.push(error)
  process.on('unhandledRejection', onLost)
  process.on('uncaughtException', onLost)
  const controller = new AbortController()
  let calls = 0
  now.current = {
    // What is closed is closed, also where the system says that something went wrong.
    before: (call) => {
      calls += 1
      return call.name === 'close' ? undefined : fateOf(call)
    },
    after: (call, { error }) => {
      if (call.name !== 'close' || call.via === 'callback' || error !== undefined) return
      const fate = fateOf(call)
      if (fate instanceof Error) throw fate
    },
  }
  const helperFate = (of: 'message' | 'process' | 'thread') => (): HelperFate => {
    if (fault.helper?.[0] !== of) return undefined
    fitting += 1
    if (fitting !== number) return undefined
    hit = { name: of, via: 'process', path: 'its own' }
    return fault.helper[1]
  }
  await using _helpers = watchHelpers({
    onThread: helperFate('thread'),
    onMessage: helperFate('message'),
    onProcess: helperFate('process'),
  })
  const limit = new AbortController()
  const found: string[] = []
  let outcome: { readonly error?: unknown } | undefined
  try {
    const running = tried.run(controller.signal).then(
      () => ({}),
      (error: unknown) => ({ error }),
    )
    const late = delay(mostMs, undefined, { signal: limit.signal }).catch(() => undefined)
    outcome = await Promise.race([running, late])
  } finally {
    limit.abort()
    now.current = undefined
  }
  tally.calls = Math.max(tally.calls, calls)
  if (hit === undefined) {
    process.off('unhandledRejection', onLost)
    process.off('uncaughtException', onLost)
    if (outcome === undefined || outcome.error !== undefined) {
      report(`without a fault: ${describe(outcome?.error)}`)
    }
    return false
  }
  tally.runs += 1
  if (outcome === undefined) found.push(`not done within ${mostMs} ms`)
  else if (outcome.error === undefined) tally.survived += 1
  else {
    const { error } = outcome
    const code = codeOf(error)
    tally.codes[code] = (tally.codes[code] ?? 0) + 1
    if (!isKnown(error) && tried.knows?.(error) !== true) found.push(`rejects with ${describe(error)}`)
    else if (code === 'ENOSPC') found.push(`a full disk is told as ${describe(error)}`)
    else if (blames(error) && !mayBlame.has(kind)) {
      found.push(`who is not to blame is told of ${describe(error)}`)
    }
  }
  const matters = (one: string): boolean => {
    // Threads, and what Node.js opens for each, are kept for two seconds: who tries everything counts them at its end.
    if (/ threads, |^handle (anon_inode|pipe$)/.test(one)) return false
    if (!one.startsWith('file ')) return true
    // What can't be removed stays.
    return (
      kind !== 'dead' && !hitsRemoval && tried.mayStay?.test(one) !== true && outcome?.error !== undefined
    )
  }
  const left = await settle(before, tried.folders, { mostMs: 1000, matters })
  found.push(...left.map((one) => `left: ${one}`))
  if (getEventListeners(controller.signal, 'abort').length > 0) found.push('left: a listener on the signal')
  try {
    await tried.check(outcome?.error)
  } catch (error) {
    found.push(`${outcome?.error === undefined ? 'success' : describe(outcome.error)}, but ${String(error)}`)
  }
  await delay(0)
  process.off('unhandledRejection', onLost)
  process.off('uncaughtException', onLost)
  found.push(...lost.map((error) => `unhandled: ${describe(error)}`))
  for (const what of found) report(what)
  return true

  function report(what: string): void {
    const at = hit === undefined ? '' : ` (${hit.name} via ${hit.via} of ${hit.path})`
    tally.findings.push({ operation: tried.name, kind, call: number, what: `${what}${at}` })
  }
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' ? code : 'none'
}

/** What was read is other than it was; or the tool that the caller has to install isn't there. */
const mayBlame: ReadonlySet<FaultKind> = new Set(['early-end', 'short-read', 'tool-cut', 'tool-missing'])

/** Whether an error says that image or caller are wrong, so that another try ends in the same way. */
function blames(error: unknown): boolean {
  const { kind } = (error ?? {}) as { readonly kind?: unknown }
  return (kind === 'invalid' || kind === 'refused') && codeOf(error) !== 'IMAGE_TOO_BIG'
}

/** An error of this family by its mark, or of the system with its code and call. */
function isKnown(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return false
  const isOurs = Symbol.for('@disk-image/error') in error
  const { code, errno } = error as NodeJS.ErrnoException
  return isOurs || (typeof code === 'string' && typeof errno === 'number')
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = codeOf(error)
  const stack = code === 'none' ? ` ${error.stack?.split('\n').slice(1, 4).join(' ')}` : ''
  return `${error.name} ${code}: ${error.message}${stack}`
}
