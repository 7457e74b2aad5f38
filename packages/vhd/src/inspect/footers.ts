import { footerBytes } from '../format/constants.ts'
import { decodeFooter, type FooterProblem, type VhdFooter } from '../format/footer.ts'
import { readBytes, type ByteSource } from '../io/byte-source.ts'
import type { VhdIssue } from './issue.ts'

/** Which of a file's footers was taken: at the end, the short one of old files, or the copy at the start. */
export type FooterOrigin = 'end' | 'end-511' | 'start'

/** A file's footer and how it was found. */
export interface FoundFooter {
  readonly footer: VhdFooter
  /** The 512 bytes as they are in the file. */
  readonly bytes: Uint8Array
  readonly origin: FooterOrigin
  /** Bytes at the end of the file that are footer: 512, 511, or none. */
  readonly tailBytes: number
  readonly issues: VhdIssue[]
}

/**
 * Rules of footers that disagree: some readers take the one at the end and others the copy, so such a disk is
 * read by nobody but who repairs it, or completes what was interrupted.
 */
export const disagreements: ReadonlySet<string> = new Set(['footers-differ', 'footer-copy', 'footer-damaged'])

const problems: Readonly<Record<FooterProblem, string>> = {
  cookie: 'has no "conectix" cookie',
  poisoned: 'is marked by an unfinished resize of vhd-util',
  checksum: 'has a wrong checksum',
  type: 'has a type other than fixed, dynamic and differencing',
  version: 'has a format version other than 1.0',
  size: 'claims a size beyond any disk',
}

/** Finds the footer: at the end, else one byte short, else the copy at the start of a dynamic disk. */
export async function findFooter(source: ByteSource): Promise<FoundFooter | VhdIssue> {
  if (source.size < footerBytes - 1) {
    return {
      severity: 'fatal',
      rule: 'too-small',
      reason: 'the file is smaller than a footer',
      found: `${source.size} bytes`,
      offset: 0,
    }
  }
  const first = await readBytes(source, 0, Math.min(footerBytes, source.size))
  const start = first.length === footerBytes ? decodeFooter(first) : 'cookie'
  const end = await tailFooter(source)
  if (start === 'poisoned' || end.problem === 'poisoned') {
    return {
      severity: 'fatal',
      rule: 'journal-open',
      reason: `its footer ${problems.poisoned}: finish or revert that first`,
      offset: start === 'poisoned' ? 0 : end.offset,
    }
  }
  if (end.problem === 'size' || (end.problem !== undefined && start === 'size')) {
    const offset = (end.problem === 'size' ? end.offset : 0) + 48
    return { severity: 'fatal', rule: 'size', reason: `its footer ${problems.size}`, offset }
  }
  if (end.found !== undefined)
    return { ...end.found, issues: copyIssues(end.found, first, start, source.size) }
  if (typeof start === 'string' || start.type === 'fixed') {
    return {
      severity: 'fatal',
      rule: 'footer-missing',
      reason: `the footer at the end ${problems[end.problem]}, and there is no usable copy at the start`,
      offset: end.offset,
    }
  }
  const issue: VhdIssue = {
    severity: end.problem === 'cookie' ? 'error' : 'fatal',
    // Other readers may take for a footer what is not quite one.
    rule: end.problem === 'cookie' ? 'footer-end' : 'footer-damaged',
    reason: `the footer at the end ${problems[end.problem]}; the copy at the start is used`,
    offset: end.offset,
  }
  return { footer: start, bytes: first, origin: 'start', tailBytes: 0, issues: [issue] }
}

type Tail =
  | { readonly found: Omit<FoundFooter, 'issues'>; readonly problem: undefined; readonly offset: number }
  | { readonly found: undefined; readonly problem: FooterProblem; readonly offset: number }

async function tailFooter(source: ByteSource): Promise<Tail> {
  const offset = Math.max(0, source.size - footerBytes)
  const bytes = await readBytes(source, offset, source.size - offset)
  const short = new Uint8Array(footerBytes)
  short.set(bytes.subarray(bytes.length - (footerBytes - 1)))
  const footer = bytes.length === footerBytes ? decodeFooter(bytes) : 'cookie'
  if (typeof footer !== 'string') {
    return { found: { footer, bytes, origin: 'end', tailBytes: footerBytes }, problem: undefined, offset }
  }
  const old = decodeFooter(short)
  if (typeof old !== 'string') {
    const found = { footer: old, bytes: short, origin: 'end-511', tailBytes: footerBytes - 1 } as const
    return { found, problem: undefined, offset: source.size - found.tailBytes }
  }
  return { found: undefined, problem: footer === 'cookie' ? old : footer, offset }
}

function copyIssues(
  tail: Omit<FoundFooter, 'issues'>,
  first: Uint8Array,
  start: VhdFooter | FooterProblem,
  size: number,
): VhdIssue[] {
  const issues: VhdIssue[] = []
  const add = (severity: VhdIssue['severity'], rule: string, reason: string, offset: number): void => {
    issues.push({ severity, rule, reason, offset })
  }
  if (tail.origin === 'end-511') {
    add('warning', 'footer-511', 'the footer at the end is 511 bytes long, as in very old files', size - 511)
  }
  if (tail.footer.type === 'fixed') return issues
  if (typeof start === 'string') {
    add('fatal', 'footer-copy', `the footer's copy at the start ${problems[start]}`, 0)
  } else if (Buffer.compare(first.subarray(0, 511), tail.bytes.subarray(0, 511)) !== 0) {
    add('fatal', 'footers-differ', 'the footer at the end and its copy at the start differ', 0)
  }
  return issues
}
