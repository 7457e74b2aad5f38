import type * as Yaml from 'yaml'
import { InvalidError } from '@disk-image/core'
import type { Alias, Node, Scalar, YAMLMap, YAMLSeq } from 'yaml'

/** A mapping as it stands in a file: every scalar is its text, or null. */
export type Mapping = Readonly<Record<string, unknown>>

/** A parsed file. */
export interface ConfigYaml {
  readonly value: unknown
  /** Whatever is legal but hardly meant, with its line. */
  readonly warnings: readonly string[]
  /** The line of a mapping's key, from 1 on; undefined where it is not known. */
  readonly lineOf: (mapping: Mapping, key: string) => number | undefined
}

/** Entries after aliases and merges; no configuration has as many. */
const maximumEntries = 100_000
const maximumDepth = 64

/** What PyYAML takes for no value at all, where it is not quoted. */
const nullWords: ReadonlySet<string> = new Set(['', '~', 'null', 'Null', 'NULL'])

/** Tags of scalars that are text to us; those of collections that are what they are anyway. */
const scalarTag = /^(?:!|tag:yaml\.org,2002:(?:str|int|float|bool|timestamp|value))$/
const collectionTag = /^(?:!|tag:yaml\.org,2002:(?:map|seq))$/

/**
 * Reads YAML 1.1 as PyYAML does, with merge keys and the last of equal keys, but leaves every scalar as it is
 * written: an id or password that looks like a number stays what it is.
 *
 * @throws {InvalidError} with the line, and without the text, which may be a secret
 */
export async function parseConfigYaml(text: string): Promise<ConfigYaml> {
  const control = /[^\t\n\r\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.exec(text)
  if (control !== null) throw atLine(text.slice(0, control.index).split('\n').length, 'a control character')
  const yaml = await import('yaml')
  const lines = new yaml.LineCounter()
  const parsed = parse(() =>
    yaml.parseDocument(text, {
      version: '1.1',
      schema: 'failsafe',
      resolveKnownTags: false,
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'error',
      lineCounter: lines,
    }),
  )
  const lineAt = (node: Pick<Node, 'range'> | null | undefined): number =>
    lines.linePos(node?.range?.[0] ?? 0).line
  const [error] = parsed.errors
  if (error !== undefined) throw atLine(lines.linePos(error.pos[0]).line, problems[error.code] ?? error.code)
  const reader = new Reader(yaml, lineAt)
  const value = parse(() => reader.read(parsed.contents, 0))
  return { value, warnings: reader.warnings, lineOf: (mapping, key) => reader.lines.get(mapping)?.get(key) }
}

/** Codes of the parser, in words. */
const problems: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab is used for indentation: use blanks',
  BAD_INDENT: 'the indentation is wrong: in brackets and quotes too, a line is indented more than its key',
  BLOCK_AS_IMPLICIT_KEY: 'there is a second ": " in one line: quote the value',
  DUPLICATE_KEY: 'a key stands twice',
  MISSING_CHAR: 'a quote, bracket or comma is missing, or a line in quotes is not indented more than its key',
  MULTIPLE_DOCS: 'a second document begins',
  BAD_SCALAR_START: 'a value begins with a reserved character: quote it',
  BAD_ALIAS: 'a value begins with * or & and is no reference: quote it',
  UNEXPECTED_TOKEN: 'something unexpected is found',
  MULTILINE_IMPLICIT_KEY: 'a key goes over several lines, or a colon is missing',
  BAD_DQ_ESCAPE: 'an escape in double quotes is wrong: double the backslash, or use single quotes',
  TAG_RESOLVE_FAILED: 'a tag is wrong',
  RESOURCE_EXHAUSTION: 'it is nested too deeply',
}

function atLine(line: number, problem: string): InvalidError {
  return new InvalidError({ reason: `line ${line}: ${problem}` })
}

/** The parser calls itself for each level. */
function parse<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (error instanceof RangeError) throw new InvalidError({ reason: 'it is nested too deeply' })
    throw error
  }
}

class Reader {
  readonly warnings: string[] = []
  readonly lines = new WeakMap<object, ReadonlyMap<string, number>>()
  readonly #yaml: typeof Yaml
  readonly #lineAt: (node: Pick<Node, 'range'> | null | undefined) => number
  readonly #anchors = new Map<string, { value: unknown } | undefined>()
  /** Entries below a value, aliases counted wherever they stand. */
  readonly #sizes = new WeakMap<object, number>()
  #entries = 0

  constructor(yaml: typeof Yaml, lineAt: (node: Pick<Node, 'range'> | null | undefined) => number) {
    this.#yaml = yaml
    this.#lineAt = lineAt
  }

  read(node: unknown, depth: number): unknown {
    const { isAlias, isMap, isSeq, isScalar } = this.#yaml
    if (node === null || node === undefined) return null
    if (isAlias(node)) return this.#resolve(node)
    if (depth > maximumDepth) throw this.#wrong(node, 'it is nested too deeply')
    const { anchor } = node as { anchor?: string }
    if (anchor !== undefined) this.#anchors.set(anchor, undefined)
    const value = isMap(node)
      ? this.#mapping(node, depth)
      : isSeq(node)
        ? this.#list(node, depth)
        : isScalar(node)
          ? this.#scalar(node)
          : null
    if (anchor !== undefined) this.#anchors.set(anchor, { value })
    return value
  }

  #resolve(alias: Alias): unknown {
    if (!this.#anchors.has(alias.source))
      throw this.#wrong(alias, 'a reference (*) has no anchor (&) before it')
    const target = this.#anchors.get(alias.source)
    if (target === undefined) throw this.#wrong(alias, 'a reference (*) leads into itself')
    return target.value
  }

  #scalar(node: Scalar): string | null {
    const text = typeof node.value === 'string' ? node.value : ''
    if (node.tag === 'tag:yaml.org,2002:null') return null
    if (node.tag !== undefined && !scalarTag.test(node.tag))
      throw this.#wrong(node, `the tag ${shown(node.tag)} is not supported`)
    return node.tag === undefined && node.type === 'PLAIN' && nullWords.has(text) ? null : text
  }

  #list(node: YAMLSeq, depth: number): unknown[] {
    this.#checkTag(node)
    const list = node.items.map((item) => this.read(item, depth + 1))
    this.#count(node, list, list)
    return list
  }

  #mapping(node: YAMLMap, depth: number): Mapping {
    this.#checkTag(node)
    const merged = new Map<string, unknown>()
    const own = new Map<string, unknown>()
    const lineOfKey = new Map<string, number>()
    for (const { key, value } of node.items) {
      if (this.#isMerge(key)) {
        this.#merge(merged, this.read(value, depth + 1), key as Node)
        continue
      }
      const name = this.#key(key, node)
      const line = this.#lineAt((key as Node | null) ?? node)
      const before = lineOfKey.get(name)
      if (before !== undefined) {
        this.warnings.push(
          `line ${line}: the key ${shown(name)} stands in line ${before} already; the last one counts`,
        )
      }
      lineOfKey.set(name, line)
      own.set(name, this.read(value, depth + 1))
    }
    const mapping = Object.fromEntries([...merged, ...own])
    this.lines.set(mapping, lineOfKey)
    this.#count(node, mapping, Object.values(mapping))
    return mapping
  }

  #key(key: unknown, node: YAMLMap): string {
    const value = this.#yaml.isAlias(key)
      ? this.#resolve(key)
      : this.#yaml.isScalar(key)
        ? (this.read(key, 0) ?? key.source ?? '')
        : ''
    if (typeof value === 'string' && (key === null || this.#yaml.isScalar(key) || this.#yaml.isAlias(key)))
      return value
    throw this.#wrong((key as Node | null) ?? node, 'a key is a list or mapping')
  }

  #isMerge(key: unknown): boolean {
    if (!this.#yaml.isScalar(key)) return false
    if (key.tag !== undefined) return key.tag === 'tag:yaml.org,2002:merge'
    return key.type === 'PLAIN' && key.value === '<<'
  }

  /** Of several mappings in one list the first counts, of several merge keys the last. */
  #merge(into: Map<string, unknown>, value: unknown, key: Node): void {
    const sources: unknown[] = Array.isArray(value) ? value.toReversed() : [value]
    for (const source of sources) {
      if (!isMapping(source)) throw this.#wrong(key, '<< takes a mapping or a list of mappings')
      for (const [name, member] of Object.entries(source)) into.set(name, member)
      this.#add(key, Object.keys(source).length)
    }
  }

  #checkTag(node: YAMLMap | YAMLSeq): void {
    if (node.tag === undefined || collectionTag.test(node.tag)) return
    throw this.#wrong(node, `the tag ${shown(node.tag)} is not supported`)
  }

  /** What a few lines of aliases of aliases would become must not have to be walked through. */
  #count(node: Node, whole: object, members: readonly unknown[]): void {
    let size = 1
    for (const member of members)
      size += typeof member === 'object' && member !== null ? (this.#sizes.get(member) ?? 1) : 1
    if (size > maximumEntries) throw this.#wrong(node, 'its references make it too large')
    this.#sizes.set(whole, size)
    this.#add(node, members.length)
  }

  #add(node: Node, entries: number): void {
    this.#entries += entries
    if (this.#entries > maximumEntries) throw this.#wrong(node, 'it has too many entries')
  }

  #wrong(node: Pick<Node, 'range'>, problem: string): InvalidError {
    return atLine(this.#lineAt(node), problem)
  }
}

/** Whether a value is a mapping. */
export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value if it is a mapping, otherwise an empty one. */
export function toMapping(value: unknown): Mapping {
  return isMapping(value) ? value : {}
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
