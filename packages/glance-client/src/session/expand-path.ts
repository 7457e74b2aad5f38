import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Environment } from './config-files.ts'

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
