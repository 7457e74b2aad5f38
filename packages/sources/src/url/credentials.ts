import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { readSettingsFile } from '../read-file.ts'
import { parseUrl } from './http-source.ts'
import type { UrlOptions } from './http-source.ts'

/** Where {@link urlCredentials} looks. */
export interface UrlCredentialOptions {
  /** A file with a header on each line, `Name: value`. */
  readonly headersFile?: string | undefined
  /** A file as curl and ftp have it. @default `NETRC` of the environment */
  readonly netrcFile?: string | undefined
  /** Where relative names of files begin. @default the process's own */
  readonly workingDirectory?: string | undefined
  /**
   * Variables of the process: `DISK_IMAGE_URL_USER` and `DISK_IMAGE_URL_PASSWORD`, `DISK_IMAGE_URL_HEADERS` (a file),
   * `NETRC`.
   */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/**
 * Headers, user name and password for a URL, from files and the environment: a command line shows what it is given to
 * everybody on the machine.
 *
 * @throws {InvalidError} where a file that is named is missing, or is none of its kind; without its content
 */
export async function urlCredentials(
  url: string | URL,
  options: UrlCredentialOptions,
): Promise<Pick<UrlOptions, 'headers' | 'basicAuth'>> {
  const { environment = {} } = options
  const place = (file: string | undefined): string | undefined =>
    file === undefined || file === '' ? undefined : path.resolve(options.workingDirectory ?? '', file)
  const headersFile = place(options.headersFile ?? environment['DISK_IMAGE_URL_HEADERS'])
  const netrcFile = place(options.netrcFile ?? environment['NETRC'])
  const headers = headersFile === undefined ? undefined : parseHeaders(await read(headersFile), headersFile)
  const user = environment['DISK_IMAGE_URL_USER']
  const password = environment['DISK_IMAGE_URL_PASSWORD'] ?? ''
  if (user !== undefined) return { headers, basicAuth: { user, password } }
  if (netrcFile === undefined) return { headers }
  return { headers, basicAuth: findLogin(await read(netrcFile), parseUrl(url).hostname) }
}

async function read(file: string): Promise<string> {
  const text = await readSettingsFile(file)
  if (text === undefined) throw new InvalidError({ reason: `The file ${file} does not exist` })
  return text
}

function parseHeaders(text: string, file: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, name, value] = /^([^\s:]+):\s*(.*?)\s*$/.exec(line) ?? []
    if (name === undefined || value === undefined) {
      throw new InvalidError({ reason: `Line ${index + 1} of ${file} is no header, such as X-Token: value` })
    }
    headers[name] = value
  }
  return headers
}

/** The first login of the machine, or that for all others. */
function findLogin(text: string, host: string): UrlOptions['basicAuth'] {
  // A macro ends with an empty line.
  const words =
    text
      .replace(/^[ \t]*macdef\b[\s\S]*?(?:\n[ \t]*\n|$(?![\s\S]))/gm, '\n')
      .match(/"(?:\\.|[^"\\])*"|#.*|\S+/g) ?? []
  let applies = false
  let user: string | undefined
  let password: string | undefined
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]
    if (word === 'machine' || word === 'default') {
      if (applies && user !== undefined) break
      applies = word === 'default' || words[(at += 1)]?.toLowerCase() === host
      user = password = undefined
    } else if (word === 'login') user = unquoted(words[(at += 1)])
    else if (word === 'password') password = unquoted(words[(at += 1)])
    else if (word === 'account') at += 1
  }
  return applies && user !== undefined ? { user, password: password ?? '' } : undefined
}

function unquoted(word: string | undefined): string | undefined {
  return word?.startsWith('"') === true ? word.slice(1, -1).replace(/\\(.)/g, '$1') : word
}
