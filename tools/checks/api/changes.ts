/** How the record of a package changed. */
export interface ApiChanges {
  /** What users could use before and can't any more. */
  readonly breaking: readonly string[]
  /** Whether anything else is different. */
  readonly changed: boolean
}

interface Member {
  readonly optional: boolean
}

/** Names by section, and the members of every declaration. */
interface ParsedRecord {
  readonly names: ReadonlySet<string>
  readonly members: ReadonlyMap<string, ReadonlyMap<string, Member>>
}

const declarationStart = /^(?:abstract )?(?:class|interface|type|function|const|enum) ([\w$]+)/
const memberLine =
  /^ {2}(?:static |abstract |readonly |protected |get |set |async )*([\w$]+|'[^']+'|\[[^\]]+\])(\?)?[:(<]/

function parse(record: string): ParsedRecord {
  const names = new Set<string>()
  const members = new Map<string, Map<string, Member>>()
  let section = ''
  let current: Map<string, Member> | undefined
  for (const line of record.split('\n')) {
    const heading = /^\[(.+)\]$/.exec(line)?.[1]
    if (heading !== undefined) section = heading
    else if (section !== 'declarations') {
      // The kind may change (an interface into a type) without anybody noticing.
      if (line !== '') names.add(`${section} ${line.replace(/: (interface|type)( |$)/, ': type$2')}`)
    } else {
      const name = declarationStart.exec(line)?.[1]
      if (name !== undefined) {
        current = members.get(name) ?? new Map<string, Member>()
        members.set(name, current)
      }
      const [, member, mark] = memberLine.exec(line) ?? []
      if (member !== undefined) current?.set(member, { optional: mark === '?' })
    }
  }
  return { names, members }
}

/** What one record has and another has not. */
export function compareRecords(before: string, after: string): ApiChanges {
  const old = parse(before)
  const now = parse(after)
  const breaking = [...old.names]
    .filter((name) => !now.names.has(name))
    .map((name) => `${name.replace(/^(\S+) /, '')} is gone from ${name.split(' ')[0]}`)
  for (const [name, members] of old.members) {
    const present = now.members.get(name)
    // A declaration that is gone was exported, and is told above, or was an implementation detail.
    if (present === undefined) continue
    for (const [member, { optional }] of members) {
      const other = present.get(member)
      if (other === undefined) breaking.push(`${name}.${member} is gone`)
      else if (optional && !other.optional) breaking.push(`${name}.${member} is no longer optional`)
    }
  }
  return { breaking, changed: before !== after }
}

/** Lines that differ, those of `before` with `-`, those of `after` with `+`; at most `most` of them. */
export function showDifference(before: string, after: string, most = 30): string {
  const old = new Set(before.split('\n'))
  const now = new Set(after.split('\n'))
  const lines = [
    ...before
      .split('\n')
      .filter((line) => !now.has(line))
      .map((line) => `- ${line}`),
    ...after
      .split('\n')
      .filter((line) => !old.has(line))
      .map((line) => `+ ${line}`),
  ]
  const shown = lines.length === 0 ? ['  (the order)'] : lines.slice(0, most)
  return [...shown, ...(lines.length > most ? [`  … and ${lines.length - most} more`] : [])].join('\n')
}
