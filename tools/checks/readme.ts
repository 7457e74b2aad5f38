import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Problem } from './report.ts'
import type { WorkspacePackage } from './workspace.ts'

/** Lines that a README may have. */
const shortest = 80
const longest = 150
/** Lines that the first example may have. */
const longestExample = 12

/** The sections, in their order. A README may have further ones between them. */
const sections = [
  'When to use it',
  'Install',
  'Use',
  'API',
  'Security',
  'Compatibility',
  'Related packages',
  'Licence',
]

/** Another name that fits a section better in a package that is a command. */
const commandSections: Readonly<Record<string, string>> = { API: 'Commands' }

/** Headings and code blocks of a page; a `#` inside a code block is no heading. */
function readOutline(text: string): { headings: string[]; examples: { section: string; lines: number }[] } {
  const headings: string[] = []
  const examples: { section: string; lines: number }[] = []
  let block: { fence: string; lines: number } | undefined
  for (const line of text.split('\n')) {
    const fence = /^\s*(`{3,}|~{3,})/.exec(line)?.[1]
    if (block !== undefined) {
      if (fence === undefined || !fence.startsWith(block.fence)) block.lines += 1
      else {
        examples.push({ section: headings.at(-1) ?? '', lines: block.lines })
        block = undefined
      }
    } else if (fence !== undefined) block = { fence, lines: 0 }
    else if (line.startsWith('## ')) headings.push(line.slice(3).trim())
  }
  return { headings, examples }
}

/** Problems of the sections: each there, each in its place. */
function checkSections(unit: WorkspacePackage, headings: readonly string[]): string[] {
  let last = -1
  return sections.flatMap((section) => {
    const other = unit.manifest.bin === undefined ? undefined : commandSections[section]
    const place = headings.findIndex(
      (heading) => heading.startsWith(section) || (other !== undefined && heading.startsWith(other)),
    )
    if (place === -1) return [`has no section '## ${section}'`]
    if (place < last) return [`has '## ${section}' in the wrong place; the order is ${sections.join(', ')}`]
    last = place
    return []
  })
}

/**
 * A package's README: 80 to 150 lines, its fixed sections in their order, a first example that one takes in
 * at a glance.
 */
export function checkReadme(root: string, unit: WorkspacePackage): Problem[] {
  const where = `${unit.directory}/README.md`
  const file = path.join(root, where)
  if (!existsSync(file)) return [{ where, what: 'is missing' }]
  const text = readFileSync(file, 'utf8')
  const lines = text.trimEnd().split('\n').length
  const { headings, examples } = readOutline(text)
  const problems = checkSections(unit, headings)
  if (lines < shortest || lines > longest) problems.push(`has ${lines} lines, not ${shortest} to ${longest}`)
  const [title = ''] = text.split('\n')
  if (!title.startsWith('# ') || !title.includes(unit.manifest.name)) {
    problems.push(`does not begin with the title '# ${unit.manifest.name}'`)
  }
  const example = examples.find(({ section }) => section === 'Use')
  if (example === undefined) problems.push("has no example under '## Use'")
  else if (example.lines > longestExample) {
    problems.push(`begins with an example of ${example.lines} lines; ${longestExample} are enough`)
  }
  return problems.map((what) => ({ where, what }))
}
