/** What a server wants to see before it answers. */
export interface Challenge {
  /** Lower-case: `basic`, `bearer`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>
}

const token = "[!#$%&'*+\\-.^_`|~\\w]+"
const parameterPattern = new RegExp(`^[,\\s]*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`)
const schemePattern = new RegExp(`^[,\\s]*(${token})(?=\\s|,|$)`)

/**
 * Reads `WWW-Authenticate`, with all challenges that it has. What can't be read ends it: what came before counts.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  let rest = header.slice(0, 16 * 1024)
  while (rest !== '') {
    const parameter = parameterPattern.exec(rest)
    const found = parameter ?? schemePattern.exec(rest)
    if (found === null) break
    rest = rest.slice(found[0].length)
    const name = (found[1] ?? '').toLowerCase()
    if (parameter === null) {
      challenges.push({ scheme: name, parameters: Object.create(null) as Record<string, string> })
      continue
    }
    const parameters = challenges.at(-1)?.parameters
    if (parameters === undefined || name in parameters) break
    parameters[name] = parameter[3] ?? (parameter[2] ?? '').replaceAll(/\\(.)/g, '$1')
  }
  return challenges
}
