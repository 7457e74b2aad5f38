import { InvalidError, printableAscii } from '@disk-image/core'
import type { CallOptions, Checksum } from '@disk-image/core'
import { createHttpClient } from '@disk-image/http'
import { parseUrl, requestHeaders } from './http-source.ts'
import type { UrlOptions } from './http-source.ts'

/** Algorithms by the digits of their hashes, in hex; strongest last. */
const byDigits: ReadonlyMap<number, string> = new Map([
  [32, 'md5'],
  [40, 'sha1'],
  [56, 'sha224'],
  [64, 'sha256'],
  [96, 'sha384'],
  [128, 'sha512'],
])
const strength = [...byDigits.values()]

/** A line of a list of checksums. */
interface Entry extends Checksum {
  /** Undefined: the hash stands alone. */
  readonly file: string | undefined
}

/**
 * Reads lists as sha256sum (GNU) and sha256 (BSD) write them, also with a signature around them; other lines are left out.
 *
 * @see https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html
 */
function parseChecksums(text: string): Entry[] {
  return text.split(/\r?\n/).flatMap((line): Entry[] => {
    const [, bsdName = '', bsdFile = '', bsdHex = ''] =
      /^\s*([\w-]{2,12}) ?\((.+)\) ?= ?([0-9a-fA-F]+)\s*$/.exec(line) ?? []
    if (bsdHex !== '') {
      const algorithm = bsdName.toLowerCase().replace(/^sha2?-/, 'sha')
      return byDigits.get(bsdHex.length) === algorithm
        ? [{ algorithm, value: bsdHex.toLowerCase(), file: bsdFile }]
        : []
    }
    const [, escaped = '', hex = '', file] = /^(\\?)([0-9a-fA-F]{32,128})(?: [ *](.+))?\s*$/.exec(line) ?? []
    const algorithm = byDigits.get(hex.length)
    if (algorithm === undefined) return []
    const name =
      escaped === '' ? file : file?.replace(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one))
    return [{ algorithm, value: hex.toLowerCase(), file: name?.trimEnd() }]
  })
}

/** A list of checksums, read once for any number of files. */
export class ChecksumList {
  readonly #name: string
  readonly #entries: readonly Entry[]
  /** By the name of the file, without folders. */
  readonly #byFile: ReadonlyMap<string | undefined, readonly Entry[]>

  /** @param name what a person calls the list */
  constructor(text: string, name = 'the list') {
    this.#name = name
    this.#entries = parseChecksums(text)
    this.#byFile = Map.groupBy(this.#entries, ({ file }) => file?.split('/').at(-1))
  }

  /**
   * The checksum of a file: of the strongest algorithm, where the list has several.
   *
   * @param file its name, without folders
   * @throws {InvalidError} where the list has none of it, or several that differ
   */
  find(file: string): Checksum {
    const alone = this.#entries.length === 1 ? this.#byFile.get(undefined) : undefined
    const [best, ...others] = (this.#byFile.get(file) ?? alone ?? []).toSorted(
      (a, b) => strength.indexOf(b.algorithm) - strength.indexOf(a.algorithm),
    )
    if (best === undefined) throw this.#missing(file)
    const { algorithm, value } = best
    const other = others.find((one) => one.algorithm === algorithm && one.value !== value)
    if (other === undefined) return { algorithm, value }
    throw new InvalidError({
      reason: `Several checksums of ${printableAscii(file, 200)} are in ${this.#name}, and they differ: ${algorithm}:${value} and ${other.value}`,
    })
  }

  #missing(file: string): InvalidError {
    const names = [...this.#byFile.keys()].filter((name) => name !== undefined).slice(0, 5)
    const what =
      this.#entries.length === 0
        ? 'it has no line that is a checksum'
        : `it has ${this.#entries.length} of others: ${names.map((name) => printableAscii(name, 80)).join(', ')}`
    return new InvalidError({
      reason: `No checksum of ${printableAscii(file, 200)} is in ${this.#name}: ${what}`,
    })
  }
}

/** No list is as long. */
const longestListBytes = 4 * 1024 * 1024

/**
 * Fetches a list of checksums (`SHA256SUMS`, `SHA512SUMS`, `disk.qcow2.sha256`). It is worth as much as its server and the
 * way to it: take https.
 *
 * @throws {InvalidError} where it is no URL; what reading an answer throws
 */
export async function fetchChecksumList(
  url: string | URL,
  options: UrlOptions & CallOptions = {},
): Promise<ChecksumList> {
  const target = parseUrl(url)
  const client = options.client ?? createHttpClient(options)
  try {
    const { text } = await client.read({
      url: target,
      headers: requestHeaders(options),
      maximumBytes: longestListBytes,
      signal: options.signal,
    })
    return new ChecksumList(text, `${target.origin}${target.pathname}`)
  } finally {
    if (options.client === undefined) await client.close()
  }
}
