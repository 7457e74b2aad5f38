import { fileURLToPath } from 'node:url'
import { InvalidError, printableAscii } from '@disk-image/core'

/** Schemes of what is read over a network, and `oci:FOLDER`. */
export type RemoteScheme = 'https' | 'http' | 's3' | 'oci'

/** What a word says that an image is. */
export type Word =
  /** By its id, or by its name where it is the only one of that name. */
  | { readonly kind: 'image'; readonly name: string; readonly isId: boolean }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'standard-input' }
  | { readonly kind: 'remote'; readonly scheme: RemoteScheme; readonly reference: string }

const remoteSchemes: readonly RemoteScheme[] = ['https', 'http', 's3', 'oci']
const uuid = /^[\da-f]{8}-?[\da-f]{4}-?[\da-f]{4}-?[\da-f]{4}-?[\da-f]{12}$/i

/**
 * Says what a word means. It is told by how it is written, never by what happens to be there: `./NAME` is a file,
 * `image:NAME` an image, whatever else has that name.
 *
 * @param bare what a word without any mark is: `fetch` reads images, `convert` files
 * @throws {InvalidError} for an empty word, a scheme that is not known, and a `file:` URL of another host
 */
export function readWord(word: string, bare: 'image' | 'file' = 'image'): Word {
  if (word.trim() === '' || word.includes('\0')) {
    throw new InvalidError({ reason: `A source is needed; it is ${JSON.stringify(word)}.` })
  }
  if (word === '-') return { kind: 'standard-input' }
  if (/^\.{0,2}\//.test(word) || word === '.' || word === '..') return { kind: 'file', path: word }
  const [, scheme = '', rest = ''] = /^([a-z][a-z\d+.-]*):(.*)$/is.exec(word) ?? []
  const remote = remoteSchemes.find((known) => known === scheme.toLowerCase())
  // Of a registry's scheme alone a folder may follow.
  if (remote !== undefined && (remote === 'oci' || rest.startsWith('//'))) {
    return { kind: 'remote', scheme: remote, reference: word }
  }
  if (scheme === 'file') return { kind: 'file', path: pathOf(word, rest) }
  if (scheme === 'image' && rest !== '') return imageWord(rest)
  if (rest.startsWith('//')) {
    const known = ['file', 'image', ...remoteSchemes].join(':, ')
    throw new InvalidError({
      reason: `No source has the scheme ${printableAscii(scheme, 20)}:. There are ${known}: and - for standard input.`,
    })
  }
  if (bare === 'image' || uuid.test(word)) return imageWord(word)
  return { kind: 'file', path: word }
}

/** What a word is called in errors, reports and progress: without whatever may be a secret. */
export function nameOfWord(word: Word): string {
  if (word.kind === 'image') return word.name
  if (word.kind === 'file') return word.path
  if (word.kind === 'standard-input') return 'standard input'
  const [plain = ''] = word.reference.split(/[?#]/, 1)
  return plain.replace(/^([a-z]+:\/\/)[^/]*@/i, '$1')
}

function imageWord(name: string): Word {
  return { kind: 'image', name, isId: uuid.test(name) }
}

/** A `file:` URL, or a path behind `file:` as it is. */
function pathOf(word: string, rest: string): string {
  if (rest === '') throw new InvalidError({ reason: 'file: needs a path.' })
  if (!rest.startsWith('//')) return rest
  try {
    return fileURLToPath(word)
  } catch (cause) {
    throw new InvalidError({ reason: `${printableAscii(word, 200)} is no file of this host.`, cause })
  }
}
