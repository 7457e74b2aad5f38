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

/**
 * The checksum that a list has of a file: of the strongest algorithm, where it has several.
 *
 * @param file name of the file, without folders
 * @throws {InvalidError} where the list has none of it, or several that differ
 */
export function findChecksum(text: string, file: string, listName = 'the list'): Checksum {
  const entries = parseChecksums(text)
  const [only] = entries
  const alone = entries.length === 1 && only?.file === undefined ? entries : []
  const named = entries.filter((entry) => entry.file?.split('/').at(-1) === file)
  const found = (named.length > 0 ? named : alone).toSorted(
    (a, b) => strength.indexOf(b.algorithm) - strength.indexOf(a.algorithm),
  )
  const [best] = found
  const shown = printableAscii(file, 200)
  if (best === undefined) {
    const others = [...new Set(entries.flatMap((entry) => entry.file ?? []))].slice(0, 5)
    const what =
      entries.length === 0
        ? 'it has no line that is a checksum'
        : `it has ${entries.length} of others: ${others.map((name) => printableAscii(name, 80)).join(', ')}`
    throw new InvalidError({ reason: `No checksum of ${shown} is in ${listName}: ${what}` })
  }
  const other = found.find(({ algorithm, value }) => algorithm === best.algorithm && value !== best.value)
  if (other !== undefined) {
    throw new InvalidError({
      reason: `Several checksums of ${shown} are in ${listName}, and they differ: ${best.algorithm}:${best.value} and ${other.value}`,
    })
  }
  return { algorithm: best.algorithm, value: best.value }
}

/** No list is as long. */
const longestListBytes = 4 * 1024 * 1024

/**
 * Fetches a list of checksums (`SHA256SUMS`, `SHA512SUMS`, `disk.qcow2.sha256`), and finds that of a file in it. The list
 * is worth as much as its server and the way to it: take https.
 *
 * @param file name of the file, without folders
 * @throws {InvalidError} where the list has none of it, or several that differ; what reading an answer throws
 */
export async function checksumFromUrl(
  url: string | URL,
  file: string,
  options: UrlOptions & CallOptions = {},
): Promise<Checksum> {
  const target = parseUrl(url)
  const client = options.client ?? createHttpClient(options)
  try {
    const { text } = await client.read({
      url: target,
      headers: requestHeaders(options),
      maximumBytes: longestListBytes,
      signal: options.signal,
    })
    return findChecksum(text, file, `${target.origin}${target.pathname}`)
  } finally {
    if (options.client === undefined) await client.close()
  }
}
