import path from 'node:path'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'

/** Variables of the process. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads a file whole.
 *
 * @param regular whether it must be a regular file: what is merely found; a pipe may be named (`<(sops -d …)`)
 * @throws {InvalidError} where it is longer than `maximumBytes`
 * @throws {NodeJS.ErrnoException} where it can't be read; a folder is one of those
 */
export async function readBounded(file: string, maximumBytes: number, regular: boolean): Promise<Buffer> {
  const { O_RDONLY, O_NONBLOCK } = process.getBuiltinModule('node:fs').constants
  const handle = await open(file, regular ? O_RDONLY | O_NONBLOCK : O_RDONLY)
  try {
    const found = await handle.stat()
    if (found.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    if (regular && !found.isFile())
      throw Object.assign(new Error('no file'), { code: 'it is no regular file' })
    const parts: Uint8Array[] = []
    let length = 0
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(64 * 1024))
      if (bytesRead === 0) return Buffer.concat(parts, length)
      length += bytesRead
      if (length > maximumBytes) {
        throw new InvalidError({
          reason: `The file ${file} is longer than ${maximumBytes / 1024 / 1024} MiB`,
        })
      }
      parts.push(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}

/** Why a file could not be read, in words. */
export function readProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
  return code === 'EISDIR' ? 'EISDIR, it is a folder' : code
}

/**
 * A path with `~`, `~user`, `$NAME` and `${NAME}` replaced, as shells do; what has no value stays as it is.
 */
export function expandPath(file: string, environment: Environment): string {
  const named = file.replace(
    /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g,
    (whole, plain: string | undefined, braced: string | undefined) =>
      environment[plain ?? braced ?? ''] ?? whole,
  )
  const [, user, rest = ''] = /^~([^/]*)(.*)$/s.exec(named) ?? []
  if (user === undefined) return named
  const home = user === '' ? environment['HOME'] : homeOf(user)
  return home === undefined || home === '' ? named : path.join(home, rest)
}

function homeOf(user: string): string | undefined {
  try {
    const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
    return lines.find((line) => line.startsWith(`${user}:`))?.split(':')[5]
  } catch {
    return undefined
  }
}
